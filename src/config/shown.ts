/**
 * The configuration as people may see it: every key with its value as the file would spell it, and which source gave
 * it. No secret is in it: files are named, never read; a URL loses its user and its query; what a file took from the
 * environment with `${NAME}` is shown as that.
 */
import type { ConfigKey } from './key.ts';
import { CONFIG_KEYS } from './key.ts';
import type { RawConfig } from './source.ts';

export interface ShownSetting {
  readonly key: string;
  readonly value: unknown;
  /** `default`, `file`, `--dev`, a variable, `--set lease`, or several that made it together. */
  readonly from: string;
}

export const REDACTED = 'redacted';

/** In the schema's order. What was not configured and has no default is left out. */
export function shownSettings(raw: RawConfig): readonly ShownSetting[] {
  return KEYS.flatMap((key) => {
    const given = valueAt(raw.tree, key.path);
    const value = given ?? key.default;
    if (value === undefined) return [];
    const from = given === undefined ? 'default' : sourceOf(key.path, raw);
    return [{ key: key.path, value: redacted(value, key.path, raw.filled), from }];
  });
}

/** Whole values only: a list is one, and so is a listener, which may be spelt as an address or as a map. */
const KEYS: readonly ConfigKey[] = CONFIG_KEYS.filter(
  ({ path, isLeaf }) => isLeaf && !path.includes('[]') && !isWithin(path),
);

function isWithin(path: string): boolean {
  return CONFIG_KEYS.some((key) => key.isLeaf && path.startsWith(`${key.path}.`));
}

function valueAt(tree: unknown, path: string): unknown {
  return path.split('.').reduce((node, step) => (isMap(node) ? node[step] : undefined), tree);
}

function sourceOf(path: string, { origins, fileTree, isDevBootstrap }: RawConfig): string {
  const above = [...origins].findLast(([key]) => `${path}.`.startsWith(`${key}.`))?.[1];
  const below = [...origins].filter(([key]) => key.startsWith(`${path}.`)).map(([, origin]) => origin);
  const inFile = valueAt(fileTree, path) === undefined ? undefined : 'file';
  const assumed = path === 'bootstrap' && isDevBootstrap ? '--dev' : 'default';
  return [above ?? inFile ?? (below.length > 0 ? undefined : assumed), ...below]
    .filter((source) => source !== undefined)
    .join(', ');
}

/** Words at the end of a key that say that its value is a secret itself, and no file with one. */
const SECRET_KEY = /(secret|password|passphrase|token|authorization|credentials?|headers)$/i;

/** Its members are named by what they allow (`revoke:token`). */
const SCOPES = 'control.scopes.';

function redacted(value: unknown, path: string, filled: ReadonlyMap<string, string>): unknown {
  const spelt = filled.get(path);
  if (spelt !== undefined) return spelt;
  if (SECRET_KEY.test(path) && !path.startsWith(SCOPES)) return REDACTED;
  if (typeof value === 'string') return withoutCredentials(value);
  if (Array.isArray(value)) return value.map((one, i) => redacted(one, `${path}[${i}]`, filled));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, redacted(member, `${path}.${name}`, filled)]),
  );
}

/** A URL without user, password, query and fragment; other texts as they are. */
function withoutCredentials(text: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  return text.replace(/^([^/]*\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/s, `?${REDACTED}`);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
