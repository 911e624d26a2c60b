/** `writ drill` on one server: what it proves, and that it is green for nothing else. By the real command. */
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { parseKeyring } from '../../src/evidence/keyring.ts';
import { call } from '../support/client.ts';
import { runCliInProcess } from '../support/cli-in-process.ts';
import type { CliRun } from '../support/run-cli.ts';
import { runCli } from '../support/run-cli.ts';
import { control, evaluate, mint, openSession, reasonOf } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 60_000;
const GIVEN = ['--token', '-', '--action', 'read', '--resource', 'invoice:42'];

let dataDir = '';
let writ: WritProcess;
const servers: Server[] = [];
beforeAll(async () => {
  dataDir = await makeDataDir();
  writ = await startWrit({ dataDir });
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(async () => {
  await writ.kill('SIGKILL');
  await removeDataDir(dataDir);
});

function drill(args: readonly string[] = [], input = '', url = writ.urls.control): Promise<CliRun> {
  const where = ['--url', url, '--token-file', join(dataDir, 'admin-token')];
  const probe = args.includes('--probe') ? [] : ['--probe', writ.urls.data];
  return runCliInProcess(['drill', ...args, ...where, ...probe], { input });
}

const json = ({ out }: CliRun): Record<string, unknown> => JSON.parse(out) as Record<string, unknown>;

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The control plane, and in between somebody who changes what it answers. */
function meddler(change: (path: string, text: string) => string): Promise<string> {
  return serve((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { url = '', method = 'GET' } = req;
      const body = Buffer.concat(chunks).toString();
      void call(`${writ.urls.control}${url}`, {
        method,
        token: writ.adminToken,
        ...(body === '' ? {} : { body }),
      }).then(({ status, text }) => res.writeHead(status).end(change(url, text)));
    });
  });
}

describe('a fire drill', () => {
  it(
    'mints its own canary on a --dev server, and proves that it was accepted, is revoked, and that a sibling passes',
    async () => {
      const run = await drill();
      expect(run.problems).toBe('');
      const report = json(run);
      expect(report).toMatchObject({
        ...{ closure: 'CLOSED', canary: 'minted', state: 'enforced', refuted: [], notShown: [] },
        replicas: [{ state: 'acknowledged' }],
        probes: [{ url: writ.urls.data, before: 'permitted', after: 'revoked', control: 'permitted' }],
      });
      expect(run.code).toBe(0);
      const receipt = await control(writ, `/v1/receipts/${String(report['id'])}`);
      const keys = String((await control(writ, '/v1/keys')).body['log']);
      expect(verifyReceipt(receipt.text, parseKeyring(keys))).toMatchObject({ state: 'enforced' });
    },
    SCENE_MS,
  );

  it(
    'says on a terminal what it has shown in lines',
    async () => {
      const where = `--url ${writ.urls.control} --token-file ${join(dataDir, 'admin-token')} --probe ${writ.urls.data}`;
      const line = `${process.execPath} src/main.ts drill ${where}`;
      const { out } = await runCli(['-qec', line, '/dev/null'], { command: ['script'] });
      expect(out).toMatch(
        /^CLOSED: enforced \d+ ms after the append, answered after \d+ ms; the bound is \d+ ms/,
      );
      expect(out).toMatch(/receipt verified: rule acknowledged/);
      const listed = `${process.execPath} src/main.ts replicas ${where.replace(/ --probe.*/, '')}`;
      const replicas = await runCli(['-qec', listed, '/dev/null'], { command: ['script'] });
      expect(replicas.out).toMatch(/ \(asked\) +live +\d+-\d+ +0 +good for \d+ ms/);
    },
    SCENE_MS,
  );

  it(
    'without a sibling has not shown that others pass, and is no more than partial',
    async () => {
      const { token } = await mint(writ);
      const run = await drill(GIVEN, token);
      expect(run.code).toBe(3);
      expect(json(run)).toMatchObject({
        ...{ closure: 'PARTIAL', canary: 'given', state: 'enforced' },
        notShown: [`${writ.urls.data}: that a sibling passes (none was given)`],
      });
      expect(reasonOf(await evaluate(writ, token))).toBe('revoked');
    },
    SCENE_MS,
  );

  it(
    'is partial while a session of the canary is not proven to have ended',
    async () => {
      const [target, sibling] = [await mint(writ), await mint(writ)];
      const opened = await openSession(writ, target.token);
      const run = await drill(GIVEN, `${target.token}\n${sibling.token}`);
      expect(run.code).toBe(3);
      expect(json(run)).toMatchObject({
        ...{ closure: 'PARTIAL', state: 'partial', refuted: [] },
        notShown: ['that no replica accepts it: it is partial'],
      });
      const ended = String(opened.body['events']).replace('/events', '/closed');
      await call(`${writ.urls.data}${ended}`, { method: 'POST' });
    },
    SCENE_MS,
  );

  it(
    'is unknown where the answer came before anything could be shown',
    async () => {
      const url = await meddler((path, text) =>
        path === '/v1/revocations'
          ? text.replace('"state":"enforced"', '"state":"durable"').replace(/,"receipt":"[^"]*"/, '')
          : text,
      );
      const run = await drill([], '', url);
      expect(run.code).toBe(4);
      expect(json(run)).toMatchObject({ closure: 'UNKNOWN' });
    },
    SCENE_MS,
  );

  it(
    'is refuted by a data plane that accepts the canary after enforced was said',
    async () => {
      const url = await serve((_, res) =>
        res.end(JSON.stringify({ decision: true, context: { reason: 'permitted' } })),
      );
      const run = await drill(['--probe', url]);
      expect(run.code).toBe(5);
      expect(json(run)).toMatchObject({
        closure: 'REFUTED',
        refuted: [`${url} accepts it after enforced was said`],
      });
    },
    SCENE_MS,
  );

  it(
    'is refuted by a receipt that one byte is wrong in, that is missing, or that another key signed',
    async () => {
      const altered = await meddler((path, text) =>
        path.startsWith('/v1/receipts/') ? text.replace(/\n/, ' \n') : text,
      );
      const wrong = await drill([], '', altered);
      expect(wrong.code).toBe(5);
      expect(json(wrong)['refuted']).toEqual([expect.stringMatching(/^the receipt: /)]);
      const without = await meddler((_, text) => text.replace(/,"receipt":"[^"]*"/, ''));
      expect(json(await drill([], '', without))['refuted']).toEqual(['enforced was said without a receipt']);
      // The receipt of the first drill, whichever is asked for.
      let first = '';
      const other = await meddler((path, text) => {
        if (!path.startsWith('/v1/receipts/')) return text;
        first ||= text;
        return first;
      });
      expect((await drill([], '', other)).code).toBe(0);
      expect(json(await drill([], '', other))['refuted']).toEqual([
        'the receipt: it is about something else',
      ]);
      const stranger = await makeDataDir();
      const elsewhere = await startWrit({ dataDir: stranger });
      const keys = join(dataDir, 'strangers.pub');
      await writeFile(keys, String((await control(elsewhere, '/v1/keys')).body['log']));
      await elsewhere.kill('SIGKILL');
      await removeDataDir(stranger);
      expect((await drill(['--keys', keys])).code).toBe(5);
    },
    SCENE_MS,
  );

  it.each<[string, string[], string, number]>([
    ['a token among the arguments', ['--token', 'eyJ'], '', 2],
    ['no token on standard input', GIVEN, '', 2],
    ['a resource that is none', ['--resource', 'canary'], '', 2],
    ['keys that cannot be read', ['--keys', '/nowhere'], '', 1],
  ])('does not begin, or says why, with %s', async (_, args, input, code) => {
    const run = await drill(args, input);
    expect(run.code).toBe(code);
    expect(run.out).toBe('');
    expect(run.problems).not.toBe('');
  });
});
