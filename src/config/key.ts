/**
 * The keys of the configuration as a list, read off the schema: what the environment and `--set` may name, what a
 * misspelt key was probably meant to be, and what docs/config.md must say.
 */
import * as z from 'zod';
import { schema } from './schema.ts';

/** How text from outside the file becomes a value: `text` as it is, the others read as YAML (`listener`: if a map). */
export type KeyKind = 'text' | 'boolean' | 'listener' | 'structure';

export interface ConfigKey {
  /** `listen.data`; members of a list are `issuers[].issuer`. */
  readonly path: string;
  readonly kind: KeyKind;
  /** As it would be written in the file; undefined when there is none. */
  readonly default: unknown;
  readonly isRequired: boolean;
  /** False for a map that only groups other keys. */
  readonly isLeaf: boolean;
}

type Node = Exclude<z.core.JSONSchema._JSONSchema, boolean>;

/** Every key in the schema's order, groups before what is in them. */
export const CONFIG_KEYS: readonly ConfigKey[] = membersOf(z.toJSONSchema(schema, { io: 'input' }), '');

const KEYS_BY_PATH: ReadonlyMap<string, ConfigKey> = new Map(CONFIG_KEYS.map((key) => [key.path, key]));

/** WRIT_LISTEN_DATA -> the key listen.data. Members of a list have no name of their own. */
export const KEYS_BY_VARIABLE: ReadonlyMap<string, ConfigKey> = new Map(
  CONFIG_KEYS.filter((key) => !key.path.includes('[]')).map((key) => [variableOf(key.path), key]),
);

export function variableOf(path: string): string {
  return `WRIT_${path.replace(/[A-Z]/g, (letter) => `_${letter}`).replaceAll('.', '_')}`.toUpperCase();
}

/** The key at `path`, whose indexes (`issuers[3]`) may be there. */
export function lookupKey(path: string): ConfigKey | undefined {
  return KEYS_BY_PATH.get(path.replace(/\[\d+\]/g, '[]'));
}

/** What may stand directly under `path`, whose indexes (`issuers[3]`) may be there. */
export function memberNamesOf(path: string): readonly string[] {
  const prefix = `${path.replace(/\[\d+\]/g, '[]')}.`;
  return CONFIG_KEYS.filter((key) => key.path.startsWith(prefix))
    .map((key) => key.path.slice(prefix.length))
    .filter((name) => !name.includes('.') && !name.includes('['));
}

function membersOf(node: Node, prefix: string): ConfigKey[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, member]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return keysAt(member as Node, path, node.required?.includes(name) ?? false);
  });
}

function keysAt(node: Node, path: string, isRequired: boolean): ConfigKey[] {
  const kind = kindOf(node);
  const key = { path, kind, default: node.default, isRequired };
  if (kind === 'listener') {
    return [{ ...key, isLeaf: true }, ...(node.anyOf ?? []).flatMap((form) => membersOf(form, path))];
  }
  const members = node.type === 'array' ? membersOf(node.items as Node, `${path}[]`) : membersOf(node, path);
  return [{ ...key, isLeaf: node.properties === undefined }, ...members];
}

function kindOf(node: Node): KeyKind {
  if (node.anyOf !== undefined) return 'listener';
  if (node.type === 'object' || node.type === 'array') return 'structure';
  return node.type === 'boolean' ? 'boolean' : 'text';
}

/** Keys of issues to come, and one that is a flag: each with what to do instead. Never silently accepted. */
const OTHER_KEYS: Readonly<Record<string, string>> = {
  dev: 'is a flag, not a key: start with `writ serve --dev`',
  relay: 'this release has no relay; remove it',
  introspectionClients: 'this release does not answer token introspection; remove it',
  logout: 'this release has no back-channel logout; remove it',
  'listen.extAuthz': 'this release has no gRPC listener; remove it',
  'issuers[].introspection': 'this release introspects no tokens; remove it',
  'control.issuers[].introspection': 'this release introspects no tokens; remove it',
};

/** Why the key at `path`, which the schema does not know, is refused, and what would be right. */
export function refusalOfKey(path: string): string {
  const known = path.replace(/\[\d+\]/g, '[]');
  const other = Object.entries(OTHER_KEYS).find(([name]) => known === name || known.startsWith(`${name}.`));
  if (other !== undefined) return other[1];
  const nearest = nearestOf(
    known,
    CONFIG_KEYS.map((key) => key.path),
  );
  return nearest === undefined ? 'is no key; remove it' : `is no key; did you mean ${nearest}?`;
}

/** The same for an environment variable that starts with WRIT_. */
export function refusalOfVariable(name: string): string {
  const other = Object.entries(OTHER_KEYS).find(([path]) => `${name}_`.startsWith(`${variableOf(path)}_`));
  if (other !== undefined) return other[1];
  const nearest = nearestOf(name, [...KEYS_BY_VARIABLE.keys()]);
  return nearest === undefined ? 'names no key; unset it' : `names no key; did you mean ${nearest}?`;
}

/** The candidate of which `given` is the last part, or from which it differs by little; case, `-`, `_` do not count. */
function nearestOf(given: string, candidates: readonly string[]): string | undefined {
  const plain = plainOf(given);
  const moved = candidates.filter((candidate) => plainOf(candidate).endsWith(`.${plain}`));
  if (moved.length === 1) return moved[0];
  const editsMax = Math.ceil((plain.length - plain.lastIndexOf('.') - 1) / 3);
  return candidates
    .filter((candidate) => !given.startsWith(`${candidate}.`))
    .map((candidate) => ({ candidate, edits: editsBetween(plain, plainOf(candidate)) }))
    .filter(({ edits }) => edits <= editsMax)
    .sort((left, right) => left.edits - right.edits)[0]?.candidate;
}

function plainOf(name: string): string {
  return name
    .replace(/^WRIT_/, '')
    .toLowerCase()
    .replace(/[-_]/g, '')
    .slice(0, 64);
}

/** Levenshtein distance, row by row. */
function editsBetween(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, j) => j);
  let edits = right.length;
  for (const [i, char] of left.split('').entries()) {
    let diagonal = i;
    row = row.map((above, j) => {
      const replaced = diagonal + (right[j - 1] === char ? 0 : 1);
      edits = j === 0 ? i + 1 : Math.min(replaced, above + 1, edits + 1);
      diagonal = above;
      return edits;
    });
  }
  return edits;
}
