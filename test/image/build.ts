/**
 * Builds the image without an engine: walks through the Dockerfile itself, line by line, with a folder for each stage's
 * root. What it cannot show is the base image and the kernel's side of a read-only root; everything else is the same:
 * what is copied, `npm ci --omit=optional`, the build, what is left. The Node it uses is none that the tree brings.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, lchown, mkdir, mkdtemp, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Copy, Stage } from './dockerfile.ts';
import { parseCopy, parseDockerfile, parseEnv, parseWords } from './dockerfile.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));
const STEP_MS = 240_000;

export interface Image {
  /** The folder to remove afterwards. */
  readonly dir: string;
  /** The last stage's root. */
  readonly root: string;
  /** A copy of Node outside of every tree, as the base image would bring it. */
  readonly node: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: { readonly uid: number; readonly gid: number };
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
}

interface Build {
  readonly dir: string;
  readonly context: string;
  readonly nodeDir: string;
  readonly roots: Map<string, string>;
}

export async function buildImage(): Promise<Image> {
  const dir = await mkdtemp(join(tmpdir(), 'writ-image-'));
  // mkdtemp's folders are for their owner only; the image's user must get through.
  await chmod(dir, 0o755);
  const nodeDir = join(dir, 'node/bin');
  await mkdir(nodeDir, { recursive: true });
  await cp(process.execPath, join(nodeDir, 'node'));
  const context = join(dir, 'context');
  await copyContext(context);
  const build = { dir, context, nodeDir, roots: new Map<string, string>() };
  const stages = parseDockerfile(await readFile(join(CHECKOUT, 'Dockerfile'), 'utf8'));
  let last: Image | undefined;
  for (const [i, stage] of stages.entries()) last = await buildStage(build, stage, String(i));
  if (last === undefined) throw new Error('the Dockerfile has no stage');
  return last;
}

/** What `.dockerignore` lets through, which names every path that may be copied. */
async function copyContext(context: string): Promise<void> {
  const lines = (await readFile(join(CHECKOUT, '.dockerignore'), 'utf8')).split('\n');
  const rules = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (rules[0] !== '*') throw new Error('.dockerignore must begin by keeping everything out');
  for (const rule of rules.slice(1)) {
    if (!rule.startsWith('!')) throw new Error(`.dockerignore: ${rule} is of no form that is known here`);
    await cp(join(CHECKOUT, rule.slice(1)), join(context, rule.slice(1)), { recursive: true });
  }
}

async function buildStage(build: Build, stage: Stage, number: string): Promise<Image> {
  const root = join(build.dir, `stage-${number}`);
  await mkdir(root);
  build.roots.set(stage.alias ?? number, root);
  let workDir = '/';
  let env: Readonly<Record<string, string>> = {};
  let user = { uid: 0, gid: 0 };
  const words: Record<string, readonly string[]> = {};
  for (const { name, text } of stage.instructions) {
    if (name === 'WORKDIR') await mkdir(join(root, (workDir = text)), { recursive: true });
    else if (name === 'COPY') await copy(build, join(root, workDir), root, parseCopy(text));
    else if (name === 'RUN') await run(build, join(root, workDir), text);
    else if (name === 'ENV') env = { ...env, ...parseEnv(text) };
    else if (name === 'USER') user = parseUser(text);
    else if (name !== 'EXPOSE') words[name] = parseWords(text);
  }
  const { ENTRYPOINT: entrypoint = [], CMD: command = [], HEALTHCHECK: healthcheck = [] } = words;
  return {
    dir: build.dir,
    root,
    node: join(build.nodeDir, 'node'),
    env,
    user,
    entrypoint,
    command,
    healthcheck,
  };
}

function parseUser(text: string): Image['user'] {
  const [uid, gid] = text.split(':').map(Number);
  if (uid === undefined || gid === undefined || Number.isNaN(uid)) throw new Error('USER must be uid:gid');
  return { uid, gid };
}

async function copy(
  build: Build,
  workDir: string,
  root: string,
  { from, owner, sources, target }: Copy,
): Promise<void> {
  const base = from === undefined ? build.context : build.roots.get(from);
  if (base === undefined) throw new Error(`no stage is called ${String(from)}`);
  for (const source of sources) {
    const to = isAbsolute(target) ? join(root, target) : join(workDir, target);
    const path = target.endsWith('/') ? join(to, basename(source)) : to;
    // Links stay links: node_modules/.bin has them, and each points inside.
    await cp(join(base, source), path, { recursive: true, verbatimSymlinks: true });
    if (owner !== undefined && process.getuid?.() === 0) await own(path, owner);
  }
}

async function own(path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  const inside = await readdir(path, { recursive: true });
  for (const one of ['', ...inside]) await lchown(join(path, one), uid, gid);
}

/** Nothing of this process's environment but where npm is and what it may have cached. */
async function run({ nodeDir }: Build, workDir: string, command: string): Promise<void> {
  const { PATH = '', HOME = '' } = process.env;
  const outside = PATH.split(':').filter((dir) => !dir.includes('node_modules'));
  const registry = Object.entries(process.env).filter(([name]) =>
    /^npm_config_(registry|cafile|cache)$/i.test(name),
  );
  await promisify(execFile)('sh', ['-ec', command], {
    cwd: workDir,
    env: { PATH: [nodeDir, ...outside].join(':'), HOME, ...Object.fromEntries(registry) },
    timeout: STEP_MS,
    maxBuffer: 16 * 1024 * 1024,
  });
}
