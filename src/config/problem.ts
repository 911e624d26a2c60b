/**
 * What is wrong with a configuration, as people read it: the key and what would be right. No problem ever quotes a
 * value, because a value may have been a secret in the wrong place.
 */
import type * as z from 'zod';
import { memberNamesOf, refusalOfKey } from './key.ts';

export interface Problem {
  /** `listen.data`, `issuers[1].jwks.url`, a variable, or the file's name for what is wrong with the file itself. */
  readonly key: string;
  readonly message: string;
}

/** Which source gave the value of a key: `WRIT_LEASE`, `--set lease`; absent for the file. */
export type Origins = ReadonlyMap<string, string>;

/** One line for each problem, in order. Names from outside lose their control characters. */
export function renderProblems(problems: readonly Problem[]): string {
  return problems.map(({ key, message }) => `${visible(key)}: ${message}`).join('\n');
}

function visible(name: string): string {
  const clean = name.replace(/[^\x20-\x7e]/g, '?');
  return clean.length <= 120 ? clean : `${clean.slice(0, 117)}...`;
}

type Issue = z.core.$ZodIssue;

/** The problems that zod's issues stand for; `origins` tells which of them the environment or `--set` brought. */
export function problemsOf(issues: readonly Issue[], origins: Origins): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, '')).map((problem) => withOrigin(problem, origins));
}

function problemsOfIssue(issue: Issue, prefix: string): Problem[] {
  const key = keyOf(issue.path, prefix);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((name) => unknownKey(keyOf([name], key)));
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ key, message }));
    case 'invalid_union': {
      // Of the forms a value may have, the one it tried to be: the first that did not refuse its very type.
      const tried = issue.errors.find((form) => !form.some(isOfOtherType));
      return tried?.flatMap((inner) => problemsOfIssue(inner, key)) ?? [{ key, message: issue.message }];
    }
    default:
      return [{ key, message: issue.message === MAP ? `${MAP}${membersOf(key)}` : issue.message }];
  }
}

const MAP = 'must be a map';

/** What a map may have in it, where the schema knows. */
function membersOf(key: string): string {
  const names = memberNamesOf(key);
  return names.length === 0 ? '' : ` with ${names.join(', ')}`;
}

function unknownKey(path: string): Problem {
  return { key: path, message: refusalOfKey(path) };
}

function isOfOtherType(issue: Issue): boolean {
  return issue.code === 'invalid_type' && issue.path.length === 0;
}

function keyOf(path: readonly PropertyKey[], prefix: string): string {
  return path.reduce<string>((key, step) => {
    if (typeof step === 'number') return `${key}[${step}]`;
    return key === '' ? String(step) : `${key}.${String(step)}`;
  }, prefix);
}

function withOrigin(problem: Problem, origins: Origins): Problem {
  const path = `${problem.key.replaceAll('[', '.')}.`;
  const origin = [...origins].findLast(([key]) => path.startsWith(`${key}.`));
  return origin === undefined ? problem : { ...problem, message: `${problem.message} (from ${origin[1]})` };
}

/** What is said where the schema has no sentence of its own. Given to every parse. */
export function sentenceOf(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.input === null) return 'is empty; give it a value or remove it';
  const right = rightOf(issue);
  return issue.input === undefined ? `is missing; it ${right}` : right;
}

function rightOf(issue: z.core.$ZodRawIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  switch (issue.expected) {
    case 'string':
      return 'must be text (a number, true and false need quotes)';
    case 'boolean':
      return 'must be true or false';
    case 'array':
      return 'must be a list';
    default:
      return MAP;
  }
}
