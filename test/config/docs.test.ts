import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ConfigKey } from '../../src/config/key.ts';
import { CONFIG_KEYS } from '../../src/config/key.ts';

/** The rows of the table in docs/config.md: key and default, as they are written there. */
function rowsOfTable(): string[] {
  const text = readFileSync(new URL('../../docs/config.md', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  for (const row of rows) expect(row.split(' | '), row).toHaveLength(3);
  return rows.map((row) => row.split(' | ').slice(0, 2).join(' | '));
}

/** The same two columns, as the schema has them. */
function rowOf(key: ConfigKey): string {
  return `| \`${key.path}\` | ${defaultOf(key)}`;
}

function defaultOf(key: ConfigKey): string {
  // The one default that the caller brings.
  if (key.path === 'replica') return '`<host name>-<4 random characters>`';
  if (key.isRequired) return 'required';
  if (key.default === undefined) return '-';
  return `\`${typeof key.default === 'string' ? key.default : JSON.stringify(key.default)}\``;
}

describe('docs/config.md', () => {
  it('lists every key of the schema with its default, in its order, and no other', () => {
    expect(rowsOfTable()).toEqual(CONFIG_KEYS.filter((key) => key.isLeaf).map(rowOf));
  });
});
