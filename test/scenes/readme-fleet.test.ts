/** What README's "One page of use" and "From one machine to a fleet" tell a reader to type, typed: in one shell, on other ports. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { peerPath } from '../support/peers.ts';
import { COMPILED, ROOT, makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

/** A directory that reads as the checkout, in which a reader may leave files. */
let checkout: string;
let shell: ReturnType<typeof spawn> | undefined;
beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'writ-readme-'));
  for (const name of ['bin', 'deploy', 'node_modules']) await symlink(join(ROOT, name), join(checkout, name));
});
afterAll(async () => {
  // Whatever the shell has started and left is of its process group.
  if (shell?.pid !== undefined) kill(-shell.pid);
  await rm(checkout, { recursive: true, force: true });
});

function kill(group: number): void {
  try {
    process.kill(group, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

/** The commands of the section, in order, each with the lines it goes on with. */
async function commandsOf(heading: string): Promise<readonly string[]> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const section = readme.split(/^## /m).find((one) => one.startsWith(heading)) ?? '';
  const blocks = [...section.matchAll(/^```\n([^]*?)^```$/gm)].map(([, block = '']) => block);
  return blocks.flatMap((block) => block.split(/^\$ /m).slice(1));
}

/** Stands for `818`, of which a replica's number is the last digit. */
async function freePrefix(): Promise<string> {
  for (;;) {
    const prefix = Math.floor((await freePort()) / 10);
    const isFree = await Promise.all([1, 2, 3].map((i) => isListenable(10 * prefix + i)));
    if (isFree.every(Boolean)) return String(prefix);
  }
}

async function isListenable(port: number): Promise<boolean> {
  const server = createServer();
  const listening = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
  const isFree = await listening;
  if (isFree) {
    server.close();
    await once(server, 'close');
  }
  return isFree;
}

interface Typed {
  readonly command: string;
  readonly code: number;
  readonly out: string;
}

/** Types them into one shell, as a reader does, and says what each printed and how it ended. */
async function typeAll(
  commands: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<readonly Typed[]> {
  const script = commands.map((command, i) => `${command}\necho "<<${i} $?>>"\n`).join('');
  const child = spawn('bash', ['-c', script], {
    cwd: checkout,
    detached: true,
    env: {
      ...COMPILED,
      HOME: checkout,
      PATH: [dirname(peerPath('redis-server')), process.env['PATH']].join(':'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  shell = child;
  const [out, problems] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const parts = out.split(/<<\d+ (\d+)>>\n/);
  expect(parts, problems).toHaveLength(2 * commands.length + 1);
  return commands.map((command, i) => ({ command, out: parts[2 * i] ?? '', code: Number(parts[2 * i + 1]) }));
}

const jsonLines = (out: string): readonly Record<string, unknown>[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('README’s page of use revokes a token, and goes on with one that is allowed and may hold a session', async () => {
  const dataDir = await makeDataDir();
  const writ = await startWrit({ dataDir });
  try {
    const { data, control } = writ.urls;
    const isTyped = /^(TOKEN=|echo \$TOKEN|curl -s localhost)/;
    const commands = (await commandsOf('One page of use'))
      .filter((command) => isTyped.test(command))
      // What follows the answer that is shown is none of the command.
      .map((command) => command.replace(/\n\{"[^]*$/, '\n').replaceAll('localhost:8181', data))
      .map((command) =>
        command.replaceAll('npx writ', `"${process.execPath}" "${join(ROOT, 'bin/writ.js')}"`),
      );
    const env = { WRIT_URL: control, WRIT_TOKEN_FILE: join(dataDir, 'admin-token') };
    const typed = await typeAll(commands, env);
    expect(typed.map(({ code }) => code)).toEqual(typed.map(() => 0));
    const answers = typed.filter(({ out }) => out.startsWith('{')).map(({ out }) => jsonLines(out)[0]);
    expect(answers).toMatchObject([
      { decision: true },
      { state: 'enforced' },
      { decision: true, context: { reason: 'permitted' } },
      { id: expect.stringMatching(/^ses_/) as string },
    ]);
  } finally {
    await writ.kill('SIGKILL');
    await removeDataDir(dataDir);
  }
}, 60_000);

it('README’s fleet allows a token on three replicas, denies it on all three once it is revoked on one, and proves it', async () => {
  const ports = new Map([['6390', String(await freePort())]]);
  for (const prefix of ['818', '828', '946']) ports.set(prefix, await freePrefix());
  const commands = (await commandsOf('From one machine to a fleet')).map((command) =>
    [...ports].reduce(
      (said, [from, to]) => said.replaceAll(new RegExp(`(?<=127.0.0.1:|--port )${from}`, 'g'), to),
      command,
    ),
  );
  const typed = await typeAll(commands);
  const of = (start: string): readonly Typed[] => typed.filter(({ command }) => command.startsWith(start));
  const [before, after] = of('ask ');
  expect(jsonLines(before?.out ?? '').map(({ decision }) => decision)).toEqual([true, true, true]);
  expect(jsonLines(after?.out ?? '')).toMatchObject(
    Array(3).fill({ decision: false, context: { reason: 'revoked' } }),
  );
  const revoked = jsonLines(of('echo $TOKEN')[0]?.out ?? '')[0];
  expect(revoked).toMatchObject({ state: 'enforced' });
  const states = (revoked?.['replicas'] as Record<string, unknown>[]).map(
    ({ replica, state }) => `${String(replica)} ${String(state)}`,
  );
  expect(states.toSorted()).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 acknowledged']);
  expect(jsonLines(of('writ.js verify')[0]?.out ?? '')[0]).toMatchObject({
    ...{ verified: true, state: 'enforced', reason: 'leaked', ticket: 'INC-4711', caller: 'admin' },
  });
  expect(jsonLines(of('writ.js drill')[0]?.out ?? '')[0]).toMatchObject({ closure: 'CLOSED', notShown: [] });
  // Denied is 6 by the last of the three checks; all else was done.
  const failed = typed.filter(({ code }) => code !== 0);
  expect(failed).toEqual([after]);
  expect(after?.code).toBe(6);
  // It leaves nothing behind.
  expect((await readdir(checkout)).toSorted()).toEqual(['bin', 'deploy', 'node_modules']);
}, 180_000);
