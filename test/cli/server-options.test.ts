/** Which data plane a command asks: the one of the replica that it talks to. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asReachedFrom } from '../../src/cli/server-options.ts';
import { runCliInProcess } from '../support/cli-in-process.ts';
import { InProcessWrit } from '../support/in-process.ts';
import { makeDataDir, removeDataDir } from '../support/writ-process.ts';

let writ: InProcessWrit;
let cwd: string;
beforeAll(async () => {
  [writ, cwd] = [await InProcessWrit.open(), await makeDataDir()];
});
afterAll(async () => {
  await writ.remove();
  await removeDataDir(cwd);
});

const CHECK = ['check', '--token', '-', '--action', 'read', '--resource', 'invoice:42'];

describe('writ check', () => {
  it('asks the data plane of the replica at --url, or at WRIT_URL', async () => {
    const input = await writ.mint();
    const [url, tokenFile] = [writ.writ.urls.control, join(writ.dataDir, 'admin-token')];
    const named = await runCliInProcess([...CHECK, '--url', url, '--token-file', tokenFile], { cwd, input });
    expect(named).toMatchObject({ code: 0, problems: '' });
    const env = { WRIT_URL: url, WRIT_TOKEN_FILE: tokenFile };
    expect(await runCliInProcess(CHECK, { cwd, env, input })).toMatchObject({ code: 0, problems: '' });
  });

  it('says which option is missing where that replica does not say', async () => {
    const tokenFile = join(cwd, 'no-token');
    await writeFile(tokenFile, 'wat_wrong');
    const where = ['--url', writ.writ.urls.control, '--token-file', tokenFile];
    const refused = await runCliInProcess([...CHECK, ...where], { cwd, input: await writ.mint() });
    expect(refused).toMatchObject({ code: 4, out: '' });
    expect(refused.problems).toBe(
      `${writ.writ.urls.control} does not take the token in ${tokenFile}: name another one with --token-file\n`,
    );
  });

  it('does not take what some other server answers for an address', async () => {
    const other = createServer((_, res) => res.end('{"verdict":"well"}'));
    await once(other.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    try {
      const where = ['--url', url, '--token-file', join(writ.dataDir, 'admin-token')];
      const run = await runCliInProcess([...CHECK, ...where], { cwd, input: await writ.mint() });
      expect(run.code).toBe(4);
      expect(run.problems).toContain('name it with --data-url');
    } finally {
      other.close();
    }
  });
});

describe('the data plane of a replica, from where its control plane was reached', () => {
  it.each([
    ['http://127.0.0.1:8282', 'http://127.0.0.1:8181', 'http://127.0.0.1:8181'],
    ['http://localhost:8282', 'unix:/run/writ.sock', 'unix:/run/writ.sock'],
    ['unix:/run/control.sock', 'unix:/run/writ.sock', 'unix:/run/writ.sock'],
    ['https://gw-1.example:8282', 'https://0.0.0.0:8181', 'https://gw-1.example:8181'],
    ['https://[2001:db8::1]:8282', 'https://[::]:8181', 'https://[2001:db8::1]:8181'],
    ['https://gw-1.example:8282', 'http://10.0.0.7:8181', 'http://10.0.0.7:8181'],
  ])('%s, %s: %s', (control, data, reached) => {
    expect(asReachedFrom(control, data)).toBe(reached);
  });

  it.each(['http://127.0.0.1:8181', 'http://[::1]:8181', 'unix:/run/writ.sock'])(
    'is not %s of another machine',
    (data) => {
      expect(() => asReachedFrom('https://gw-1.example:8282', data)).toThrow(
        /of its own machine: .* --data-url/,
      );
    },
  );
});
