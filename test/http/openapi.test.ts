/** `/openapi.json`: what it lists is what the doors have, both ways; it is valid; and it gives nothing away. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATIONS, openApiOf, renderOpenApi } from '../../src/http/openapi.ts';
import { call } from '../support/client.ts';
import { InProcessWrit } from '../support/in-process.ts';
import { faultOf } from '../support/openapi-judge.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FACTS = { version: '1.2.3', dev: true };

let writ: InProcessWrit;
beforeAll(async () => {
  writ = await InProcessWrit.open();
});
afterAll(() => writ.remove());

/** The routes of docs/reference.md, which test/docs.test.ts compares with the source, by the section they are in. */
function routesOf(section: string): string[] {
  const reference = readFileSync(join(ROOT, 'docs/reference.md'), 'utf8');
  const start = reference.indexOf(`\n${section} (`);
  const [, table = ''] = reference.slice(start).split('\n\n');
  return [...table.matchAll(/^\| `([A-Z]+ [^`]+)` \|/gm)].map(([, route = '']) => route);
}

describe('the document', () => {
  it.each([
    ['data', 'Data plane'],
    ['control', 'Control plane'],
    ['diagnostics', 'Diagnostics'],
  ] as const)('has exactly the routes of the %s listener', (plane, section) => {
    const documented = OPERATIONS[plane].map(({ method, path }) => `${method} ${path}`);
    expect(documented.length).toBeGreaterThan(4);
    expect(documented.toSorted()).toEqual(routesOf(section).toSorted());
  });

  it('names every operation once', () => {
    const ids = Object.values(OPERATIONS).flatMap((operations) => operations.map(({ id }) => id));
    // The document itself is an operation of two listeners.
    expect(ids.length - new Set(ids).size).toBe(1);
  });

  it('lists every route that exists: none of them answers 404 for its path', async () => {
    for (const plane of ['data', 'control', 'diagnostics'] as const) {
      for (const { method, path } of OPERATIONS[plane]) {
        const url = `${writ.writ.urls[plane]}${path.replace(/:[a-z]+/g, 'x').replace('*', 'x')}`;
        const reply = await call(url, { method: 'PATCH', token: writ.adminToken });
        expect(reply.status, `${method} ${url}`).toBe(405);
        expect(reply.headers['allow']).toContain(method);
      }
    }
  });

  it('has the routes of the dev issuer on --dev servers only', () => {
    const paths = (dev: boolean): string[] => Object.keys(openApiOf({ ...FACTS, dev })['paths'] as object);
    expect(paths(true).filter((path) => !paths(false).includes(path))).toEqual(['/v1/dev/tokens']);
  });

  it('is OpenAPI 3.1 by the rules of a linter that others use', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'writ-openapi-'));
    const file = join(dir, 'openapi.json');
    await writeFile(file, renderOpenApi(FACTS));
    // Probes have no 4xx of their own.
    const args = ['lint', file, '--skip-rule', 'operation-4xx-response', '--format', 'json'];
    const { stdout } = await promisify(execFile)(join(ROOT, 'node_modules/.bin/redocly'), args, {
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
      timeout: 30_000,
    });
    expect((JSON.parse(stdout) as { totals: unknown }).totals).toEqual({
      errors: 0,
      warnings: 0,
      ignored: 0,
    });
    await rm(dir, { recursive: true });
  });

  it('is served to anyone by the data plane and the control plane, and is the same on both', async () => {
    const [data, control] = await Promise.all([
      writ.data('/openapi.json'),
      writ.control('/openapi.json', { token: '' }),
    ]);
    expect([data.status, control.status]).toEqual([200, 200]);
    expect(data.headers['content-type']).toBe('application/json');
    expect(data.text).toBe(control.text);
    expect(data.body).toMatchObject({ openapi: '3.1.1', info: { title: 'Writ' } });
    expect(data.text).not.toContain(writ.dataDir);
  });
});

describe('the judge of answers', () => {
  const reply = (status: number, body: unknown, type = 'application/json') => ({
    status,
    headers: { 'content-type': type },
    text: JSON.stringify(body),
    body: {},
  });
  const faultOfPing = (one: ReturnType<typeof reply>): string | undefined =>
    faultOf('data', 'POST', '/v1/sessions/ses_1/ping', one);

  it('takes what is documented, and nothing of what it does not know', () => {
    expect(faultOfPing(reply(200, { freshForMs: 1 }))).toBeUndefined();
    expect(faultOf('data', 'GET', '/nowhere', reply(500, {}))).toBeUndefined();
  });

  it('refuses another status, another type, a member too many, one that is missing and a wrong code', () => {
    const problem = {
      type: 'urn:writ:error:NOT_FOUND',
      title: 't',
      status: 404,
      code: 'NOT_FOUND',
      detail: 'd',
    };
    const PROBLEM = 'application/problem+json';
    expect(faultOfPing(reply(418, {}))).toMatch('418');
    expect(faultOfPing(reply(200, {}, 'text/html'))).toMatch('text/html');
    expect(faultOfPing(reply(200, { freshForMs: 1, extra: 1 }))).toMatch('additional');
    expect(faultOfPing(reply(200, {}))).toMatch('freshForMs');
    expect(faultOfPing(reply(404, problem, PROBLEM))).toBeUndefined();
    expect(faultOfPing(reply(404, { ...problem, code: 'FENCED' }, PROBLEM))).toMatch('code');
  });
});
