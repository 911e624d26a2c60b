/**
 * Renders a policy's input as JSON, only the part of it that the policy reads. Evaluating costs by the size of
 * the input (DESIGN 8). The part that is left out must not be able to change an answer: a path that is read comes
 * whole, and whatever lies on the way to one keeps its kind, so that "is it there" is answered as before.
 */
import type { JsonObject } from '../../kernel/json.ts';
import type { InputPath } from './bundle.ts';

/** JSON text of `input`; throws what JSON.stringify throws (too deep, a cycle). */
export type InputRenderer = (input: JsonObject) => string;

interface Branch {
  readonly name: string;
  /** `"name":` */
  readonly prefix: string;
  /** Undefined: everything below is read. */
  readonly branches: readonly Branch[] | undefined;
}

/** A renderer for the paths that are read; undefined: the whole input is. */
export function createInputRenderer(paths: readonly InputPath[] | undefined): InputRenderer {
  if (paths === undefined) return JSON.stringify;
  const branches = branchesOf(paths);
  return (input) => renderObject(input, branches);
}

function branchesOf(paths: readonly InputPath[]): readonly Branch[] {
  const rests = new Map<string, InputPath[]>();
  for (const [name = '', ...rest] of paths) rests.set(name, [...(rests.get(name) ?? []), rest]);
  return [...rests].map(([name, below]) => ({
    name,
    prefix: `${JSON.stringify(name)}:`,
    branches: below.some((path) => path.length === 0) ? undefined : branchesOf(below),
  }));
}

function renderObject(object: JsonObject, branches: readonly Branch[]): string {
  let text = '{';
  for (const branch of branches) {
    const value: unknown = Object.hasOwn(object, branch.name) ? object[branch.name] : undefined;
    if (value === undefined) continue;
    if (text.length > 1) text += ',';
    text += branch.prefix + renderBelow(value, branch.branches);
  }
  return `${text}}`;
}

function renderBelow(value: unknown, branches: readonly Branch[] | undefined): string {
  if (branches === undefined || typeof value !== 'object' || value === null || Array.isArray(value))
    return JSON.stringify(value);
  return renderObject(value as JsonObject, branches);
}

/** JSON.stringify spells half a surrogate pair as an escape, which OPA's parser would read as another character. */
export function hasLoneSurrogate(json: string): boolean {
  return json.includes('\\ud') && LONE_SURROGATE.test(json);
}

const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;
