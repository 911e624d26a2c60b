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
  /** For the one object that comes again with every request of a credential, and never changes: its text. */
  readonly rendered: WeakMap<object, string> | undefined;
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
    rendered: name === CREDENTIAL ? new WeakMap<object, string>() : undefined,
  }));
}

function renderObject(object: JsonObject, branches: readonly Branch[]): string {
  let text = '{';
  for (const branch of branches) {
    const value: unknown = object[branch.name];
    // Named second: what is inherited has a value too, but few names do.
    if (value === undefined || !Object.hasOwn(object, branch.name)) continue;
    if (text.length > 1) text += ',';
    text +=
      branch.prefix +
      (branch.rendered === undefined ? renderBelow(value, branch.branches) : renderOnce(value, branch));
  }
  return `${text}}`;
}

/** Made once for each verified credential, and frozen (decision/policy-input.ts). */
const CREDENTIAL = 'credential';

function renderOnce(value: unknown, { rendered, branches }: Branch): string {
  if (rendered === undefined || typeof value !== 'object' || value === null)
    return renderBelow(value, branches);
  let text = rendered.get(value);
  if (text !== undefined) return text;
  text = renderBelow(value, branches);
  // What is not frozen could change, and it does not come again: a hundred thousand of those stall the collector.
  if (Object.isFrozen(value)) rendered.set(value, text);
  return text;
}

function renderBelow(value: unknown, branches: readonly Branch[] | undefined): string {
  if (branches === undefined || typeof value !== 'object' || value === null || Array.isArray(value))
    return JSON.stringify(value);
  return renderObject(value as JsonObject, branches);
}

/** JSON.stringify spells half a surrogate pair as an escape, which OPA's parser would read as another character. */
export function hasLoneSurrogate(json: string): boolean {
  return json.includes('\\') && LONE_SURROGATE.test(json);
}

const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;
