/** The image, built by the lines of the Dockerfile: what is in it, and that it decides, revokes, is watched and ends. */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Image } from '../image/build.ts';
import { buildImage } from '../image/build.ts';
import type { Running } from '../support/scene.ts';
import { evaluate, jtiOrder, mint, reasonOf, revoke } from '../support/scene.ts';
import { ROOT } from '../support/writ-process.ts';

const BUILD_MS = 300_000;
const IS_ROOT = process.getuid?.() === 0;

let image: Image;
beforeAll(async () => {
  image = await buildImage();
  // A read-only root, as far as files can be: the user owns none of them, and nobody may write them.
  await withoutWriting(join(image.root, 'app'));
}, BUILD_MS);
afterAll(() => rm(image.dir, { recursive: true, force: true }));

async function withoutWriting(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o555 : 0o444);
  }
  await chmod(dir, 0o555);
}

/** The words of the image with its paths where they lie here; nothing of this process's environment. */
function startOptions(): { env: Record<string, string>; cwd: string; uid?: number; gid?: number } {
  const { WRIT_DATA_DIR = '', ...env } = image.env;
  return {
    cwd: join(image.root, 'app'),
    env: {
      ...env,
      PATH: '/nonexistent',
      WRIT_DATA_DIR: join(image.root, WRIT_DATA_DIR),
      WRIT_LISTEN_DATA: '127.0.0.1:0',
      WRIT_LISTEN_CONTROL: '127.0.0.1:0',
    },
    // A stranger to every file; who is not root cannot become one.
    ...(IS_ROOT ? image.user : {}),
  };
}

function located(words: readonly string[]): [string, string[]] {
  const [program = '', ...args] = words.map((word) =>
    word.startsWith('/app/') ? join(image.root, word) : word,
  );
  expect(program).toBe('node');
  return [image.node, args];
}

function run(
  words: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; out: string }> {
  const [program, args] = located(words);
  const options = startOptions();
  return new Promise((resolve) => {
    execFile(program, args, { ...options, env: { ...options.env, ...env } }, (error, out, problems) => {
      resolve({ code: error === null ? 0 : Number(error.code), out: `${out}${problems}` });
    });
  });
}

/** The entrypoint with `--dev`, until it says that it is ready. */
async function start(diagnostics: string): Promise<{ child: ChildProcess; running: Running }> {
  const [program, args] = located([...image.entrypoint, ...image.command, '--dev']);
  const options = startOptions();
  const env = { ...options.env, WRIT_LISTEN_DIAGNOSTICS: diagnostics };
  const child = spawn(program, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const urls: Record<string, string> = {};
  const lines: string[] = [];
  const isReady = Promise.withResolvers<void>();
  child.stderr.on('data', (chunk: Buffer) => lines.push(chunk.toString()));
  child.once('exit', () => isReady.reject(new Error(lines.join('\n'))));
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    const { message, listener, address } = JSON.parse(line) as Record<string, string>;
    if (listener !== undefined) urls[listener] = address ?? '';
    if (message === 'ready') isReady.resolve();
  });
  await isReady.promise;
  const dataDir = startOptions().env['WRIT_DATA_DIR'] ?? '';
  const adminToken = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
  return { child, running: { urls: urls as unknown as Running['urls'], adminToken } };
}

describe('the image', () => {
  it('has what runs, and no source, test, development dependency or Node of ours', async () => {
    expect((await readdir(join(image.root, 'app'))).toSorted()).toEqual([
      'bin',
      'dist',
      'node_modules',
      'package.json',
      'policies',
    ]);
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(ROOT, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    const has = (name: string): boolean => existsSync(join(image.root, 'app/node_modules', name));
    expect(Object.keys(dependencies ?? {}).filter((name) => !has(name))).toEqual([]);
    // What a dependency brings by itself (a types package) is its business.
    const unwanted = [...Object.keys(devDependencies ?? {}), ...Object.keys(optionalDependencies ?? {})];
    expect(unwanted.filter((name) => !name.startsWith('@types/') && has(name))).toEqual([]);
  });

  it('says its version by the shim that starts it', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await run([...image.entrypoint, '--version'])).toEqual({ code: 0, out: `${version}\n` });
  });

  it.runIf(IS_ROOT)('runs as a user that can write its data and nothing else', async () => {
    expect(image.user.uid).toBeGreaterThan(0);
    const write = (path: string): Promise<{ code: number; out: string }> => {
      const script = `require('fs').writeFileSync(${JSON.stringify(path)}, 'x')`;
      const options = startOptions();
      return new Promise((resolve) => {
        execFile(image.node, ['-e', script], options, (error, _, out) =>
          resolve({ code: error === null ? 0 : 1, out }),
        );
      });
    };
    expect((await write(join(image.root, 'app/dist/main.js'))).out).toContain('EACCES');
    expect((await write(join(image.root, 'app/new'))).out).toContain('EACCES');
    expect((await write(join(image.root, image.env['WRIT_DATA_DIR'] ?? '', 'new'))).code).toBe(0);
  });

  it(
    'decides, revokes, is healthy while it lives, and ends on SIGTERM with 0',
    { timeout: 60_000 },
    async () => {
      const diagnostics = '127.0.0.1:0';
      const { child, running } = await start(diagnostics);
      const address = running.urls.diagnostics.replace('http://', '');
      const health = () => run(image.healthcheck, { WRIT_LISTEN_DIAGNOSTICS: address });
      try {
        const minted = await mint(running);
        expect(reasonOf(await evaluate(running, minted.token))).toBe('permitted');
        expect((await health()).code).toBe(0);
        const revoked = await revoke(running, jtiOrder(minted));
        expect(revoked.status).toBe(201);
        expect(reasonOf(await evaluate(running, minted.token))).toBe('revoked');
      } catch (error) {
        child.kill('SIGKILL');
        throw error;
      }
      const startedMs = performance.now();
      child.kill('SIGTERM');
      const code = await new Promise((resolve) => child.once('exit', resolve));
      expect(code).toBe(0);
      expect(performance.now() - startedMs).toBeLessThan(10_000);
      expect((await health()).code).toBe(1);
    },
  );
});
