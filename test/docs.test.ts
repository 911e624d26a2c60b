/** Documentation is a list that is compared with the source, both ways (STYLE.md, habit 15). */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { inputOf } from '../src/decision/policy-input.ts';
import { REASONS } from '../src/decision/decision.ts';
import { EXIT_OF } from '../src/cli/drill-report.ts';
import { SELECTOR_KINDS } from '../src/feed/entry.ts';
import { SIGHT_STATES } from '../src/flows/survey.ts';
import { ERROR_CODES } from '../src/kernel/error.ts';
import { LIMITS } from '../src/kernel/limits.ts';
import { isCutoffKind } from '../src/revocation/retention.ts';

const operations = readFileSync(fileURLToPath(new URL('../docs/operations.md', import.meta.url)), 'utf8');
const reference = readFileSync(fileURLToPath(new URL('../docs/reference.md', import.meta.url)), 'utf8');

/** The first cells of the tables under a heading, without backquotes. */
function firstCells(heading: string): string[] {
  const section = reference.split(/^## /m).find((one) => one.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? '');
}

function source(file: string): string {
  return readFileSync(fileURLToPath(new URL(`../src/${file}`, import.meta.url)), 'utf8');
}

/** `{ method: 'GET', path: '/x' }` of the node:http doors, spread over lines or not. */
function routesOf(file: string): string[] {
  const text = source(file);
  const routes = [...text.matchAll(/method: '([A-Z]+)',\s*path: '([^']+)'/g)].map(
    ([, method = '', path = '']) => `${method} ${path}`,
  );
  const authzen = [...text.matchAll(/\.\.\.authzen,\s*path: '([^']+)'/g)].map(
    ([, path = '']) => `POST ${path}`,
  );
  return [...authzen, ...routes];
}

/** `{ path: '/x', post: …, get: … }` of the Express door, spread over lines or not. */
function expressRoutesOf(file: string): string[] {
  const [, ...routes] = source(file).split(/\{\s*path: /);
  return routes.flatMap((route) => {
    const path = /^'([^']+)'/.exec(route)?.[1] ?? '';
    const methods = route.slice(0, route.indexOf('\n    ];') < 0 ? undefined : route.indexOf('\n    ];'));
    return [...methods.matchAll(/\b(get|post|delete): /g)].map(
      ([, method = '']) => `${method.toUpperCase()} ${path}`,
    );
  });
}

describe('docs/reference.md', () => {
  it('lists exactly the routes there are', () => {
    const actual = [
      ...['http/data-plane.ts', 'http/session-routes.ts', 'http/diagnostics.ts'].flatMap(routesOf),
      ...['http/control-plane.ts', 'http/fact-routes.ts'].flatMap(expressRoutesOf),
    ];
    expect(firstCells('Routes').toSorted()).toEqual(actual.toSorted());
  });

  it('lists exactly the reasons there are, in order', () => {
    expect(firstCells('Reasons')).toEqual([...REASONS]);
  });

  it('lists exactly the states of a replica there are, in order', () => {
    expect(firstCells('Replicas')).toEqual([...SIGHT_STATES]);
  });

  it('lists exactly the kinds of selectors there are, in order, and which of them take `before`', () => {
    expect(firstCells('Selectors')).toEqual([...SELECTOR_KINDS]);
    const cutoffs = [...reference.matchAll(/^\| `(\w+)` \| .* \| .* \| yes \|$/gm)].map(([, kind]) => kind);
    expect(cutoffs).toEqual(SELECTOR_KINDS.filter(isCutoffKind));
  });

  it('lists exactly the closures of a drill there are, with their exit codes', () => {
    const rows = [...reference.matchAll(/^\| `([A-Z]+)` \| (\d) \| /gm)].map(([, name, code]) => [
      name,
      Number(code),
    ]);
    expect(rows).toEqual(Object.entries(EXIT_OF));
  });

  it('lists exactly what a policy is asked with', () => {
    const request = {
      subject: { type: 't', id: 'i' },
      action: { name: 'n' },
      resource: { type: 't', id: 'i' },
      context: {},
    };
    expect(firstCells('Policy')).toEqual(Object.keys(inputOf(request, {}, 0, [])));
  });

  it('says for how long an answer waits', () => {
    const { waitMsDefault, waitMsMax } = LIMITS;
    expect(reference).toContain(`${waitMsDefault} unless given, at most ${waitMsMax}`);
  });

  it('lists exactly the error codes there are, with their status and title', () => {
    const rows = [...reference.matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \| (.+) \|$/gm)].map(
      ([, code, status, title]) => [code, Number(status), title],
    );
    expect(rows).toEqual(
      Object.entries(ERROR_CODES).map(([code, { status, title }]) => [code, status, title]),
    );
  });
});

describe('docs/operations.md', () => {
  it('names only commands, keys and words that there are', () => {
    const cli = readdirSync(fileURLToPath(new URL('../src/cli', import.meta.url)));
    const sources = cli.map((file) => source(`cli/${file}`)).join('\n');
    const known = [...sources.matchAll(/'(?:--)?([a-z][a-z-]+)/g)].map(([, word]) => word);
    const lines = [...operations.matchAll(/(?:`|^\$ )writ ([^`\n]+)/gm)].map(([, line = '']) => line);
    const words = lines.flatMap(
      (line) => line.match(/^[a-z]+|(?<=^(?:replicas|epoch) )[a-z]+|(?<=--)[a-z-]+/g) ?? [],
    );
    expect(words.length).toBeGreaterThan(8);
    expect(words.filter((word) => !known.includes(word))).toEqual([]);
    expect(source('flows/replica.ts')).toContain('everyone had left it');
    expect(operations).toContain('everyone had left it');
  });
});
