/** What a command says that asked at the wrong place, or a replica that cannot take its order. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCliInProcess } from '../support/cli-in-process.ts';
import { InProcessWrit } from '../support/in-process.ts';
import type { CliRun } from '../support/run-cli.ts';

let writ: InProcessWrit;
beforeAll(async () => {
  writ = await InProcessWrit.open();
});
afterAll(() => writ.remove());

function run(args: readonly string[], url: string, input = ''): Promise<CliRun> {
  const env = { WRIT_URL: url, WRIT_TOKEN_FILE: join(writ.dataDir, 'admin-token') };
  return runCliInProcess(args, { cwd: writ.dataDir, env, input });
}

const REVOKE = ['revoke', 'jti', 'x', '--issuer', 'i'];

describe('a command that asks another listener than the control plane', () => {
  it('says which one answered, and where', async () => {
    const { data, diagnostics } = writ.writ.urls;
    expect(await run(REVOKE, data)).toMatchObject({
      code: 1,
      problems: `404: NOT_FOUND: no such thing: no such route on the data plane (asked ${data})\n`,
    });
    expect((await run(['sessions'], data)).problems).toBe(
      `405: METHOD_NOT_ALLOWED: the method is not allowed here: allowed here, on the data plane: POST (asked ${data})\n`,
    );
    expect((await run(['keys'], diagnostics)).problems).toContain(
      `no such route on the diagnostics plane (asked ${diagnostics})`,
    );
    const check = ['check', '--token', '-', '--action', 'read', '--resource', 'invoice:42'];
    expect((await run(check, data, await writ.mint())).problems).toContain('(404; is it a control plane?)');
  });
});

describe('writ status', () => {
  it.each([
    ['no address', 'banana'],
    ['an address without a scheme', '127.0.0.1:8282'],
    ['nobody', 'http://127.0.0.1:9'],
  ])('is 4 where it asks %s', async (_, url) => {
    expect(await run(['status'], url)).toMatchObject({ code: 4, out: '' });
    expect(await run(['status', '--diagnostics-url', url], url)).toMatchObject({ code: 4, out: '' });
  });

  it('is 4 where the configuration is none', async () => {
    const invalid = await runCliInProcess(['status', '--set', 'lease=5'], { cwd: writ.dataDir });
    expect(invalid.code).toBe(4);
    expect(invalid.problems).toMatch(/^CONFIG_INVALID: /);
  });

  it.each([
    ['a page', 404, '<html>'],
    ['a page that is there', 200, '<html>'],
    ['a list', 200, '[]'],
    ['some other object', 200, '{"status":"UP"}'],
  ])('is 4 where the answer is %s', async (_, status, text) => {
    const other = await serve(status, text);
    try {
      expect(await run(['status'], other.url)).toMatchObject({ code: 4 });
      expect(await run(['status', '--diagnostics-url', other.url], other.url)).toMatchObject({ code: 4 });
      expect((await run(['keys'], other.url)).problems).not.toContain('the server answered');
    } finally {
      other.server.close();
    }
  });
});

describe('an order that was refused before anything was appended', () => {
  it.each([
    ['FENCED', 'nothing was recorded; another replica, where there is one, may take it (--url)'],
    ['STORE_UNREACHABLE', 'nothing was recorded; another replica, where there is one, may take it (--url)'],
    ['EPOCH_CLOSED', 'nothing was recorded'],
    ['OVERLOADED', 'nothing was recorded'],
  ])('for %s says so, and who else may take it', async (code, said) => {
    const fenced = await serve(503, JSON.stringify({ code }));
    try {
      expect(await run(REVOKE, fenced.url)).toEqual({
        code: 1,
        out: '',
        problems: `503: ${code}\n${said}\n`,
      });
      // Under a key of the caller's own an earlier order may have been taken.
      const own = await run([...REVOKE, '--idempotency-key', 'mine'], fenced.url);
      expect(own.code).toBe(4);
      expect(own.problems).not.toContain('nothing was recorded');
    } finally {
      fenced.server.close();
    }
  });
});

describe('what stands in the wrong place', () => {
  it.each([
    ['/v1/revocations', 'before', ': it belongs in selector'],
    ['/v1/locks', 'issuer', ': it belongs in selector'],
    // A lock has none at all.
    ['/v1/locks', 'before', ''],
    ['/v1/revocations', 'force', ''],
  ])('is told its own, by %s: %s', async (path, field, place) => {
    const end = path === '/v1/locks' ? { expiresAt: '2100-01-01T00:00:00Z' } : {};
    const body = { selector: { kind: 'subject', value: 'x' }, ...end, [field]: 'x' };
    const { body: problem } = await writ.control(path, { body });
    const detail = `${field} is not a member here${place}`;
    expect(problem).toMatchObject({ code: 'BAD_REQUEST', field, detail });
  });

  it('is `Bearer` before a token, which is not printed', async () => {
    const token = await writ.mint();
    const refused = await run(['revoke', 'token', '-'], writ.writ.urls.control, `Bearer ${token}\n`);
    expect(refused.code).toBe(1);
    expect(refused.problems).toContain('is not a token: leave out "Bearer", which is before it');
    expect(refused.problems).not.toContain(token);
  });
});

describe('writ replicas', () => {
  it.each([
    [
      'says what a clock ahead may also be',
      { aheadMs: -809, withinMs: 514 },
      /-809 to -295 ms(.|\n)*unless an/,
    ],
    ['says nothing of clocks that it does not know', undefined, /^(?!(.|\n)*unless)/],
  ])('%s', async (_, clock, expected) => {
    const body = { replicas: [{ replica: 'r2', state: 'live', clock }] };
    const other = await serve(200, JSON.stringify(body));
    try {
      const env = { WRIT_URL: other.url, WRIT_TOKEN_FILE: join(writ.dataDir, 'admin-token') };
      const { out } = await runCliInProcess(['replicas'], { cwd: writ.dataDir, env, isTerminal: true });
      expect(out).toContain('r2');
      expect(out).toMatch(expected);
    } finally {
      other.server.close();
    }
  });
});

describe('writ token', () => {
  it('says that only a server with --dev mints where there is no such route', async () => {
    const other = await serve(404, JSON.stringify({ code: 'NOT_FOUND' }));
    try {
      expect(await run(['token', '--sub', 'u'], other.url)).toMatchObject({
        code: 1,
        problems: expect.stringMatching(
          /^only a server that was started with --dev mints tokens\n404: /,
        ) as string,
      });
    } finally {
      other.server.close();
    }
  });
});

describe('writ epoch open --accept-amnesia', () => {
  it('names the option that it lacks, and asks nobody', async () => {
    for (const reason of [[], ['--reason', '']])
      expect(await run(['epoch', 'open', '--accept-amnesia', ...reason], 'http://127.0.0.1:9')).toEqual({
        code: 2,
        out: '',
        problems: '--accept-amnesia needs --reason <text>: it stands in every receipt since\n',
      });
  });
});

describe('an order to a replica for which no epoch is open', () => {
  it('is told why, as /readyz has it', async () => {
    const closed = await InProcessWrit.open({ sets: ['bootstrap=false'] });
    try {
      const env = {
        WRIT_URL: closed.writ.urls.control,
        WRIT_TOKEN_FILE: join(closed.dataDir, 'admin-token'),
      };
      expect((await runCliInProcess(REVOKE, { cwd: closed.dataDir, env })).problems).toBe(
        '503: EPOCH_CLOSED: the feed has no open epoch: /readyz says what it waits for (none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first)\nnothing was recorded\n',
      );
    } finally {
      await closed.remove();
    }
  });
});

describe('writ epoch open --help', () => {
  it('does not say that there must be none', async () => {
    const help = await runCliInProcess(['epoch', 'open', '--help']);
    expect(help.out.replaceAll(/\s+/g, ' ')).toContain(
      'the first of a store, or the next one, over an open one too',
    );
  });
});

async function serve(status: number, text: string): Promise<{ url: string; server: Server }> {
  const server = createServer((req, res) => req.resume().once('end', () => res.writeHead(status).end(text)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}
