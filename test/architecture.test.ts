/** The tree as a law (DESIGN section 2): folders import upwards only, nothing imports in a circle, pure is pure. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** Reading order, data order, import rule. An edge is one folder each. */
const ORDER = [
  'kernel',
  'config',
  'feed',
  'credential',
  'revocation',
  'decision',
  'session',
  'evidence',
  'flows',
  'edges',
  'http',
  'cli',
];
const PURE = ['kernel', 'feed', 'credential', 'revocation', 'decision', 'session', 'evidence'];

interface Source {
  readonly file: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const sources: Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => {
    const text = readFileSync(join(SRC, file), 'utf8');
    const imports = [
      ...text.matchAll(/^\s*(?:import|export)\s[^;]*?from '(.+?)';|^import '(.+?)';|import\('(.+?)'\)/gms),
    ].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
    return { file, folder: folderOf(file), text, imports };
  });

/** `edges/opa`, `http`; empty for main.ts and compose.ts. */
function folderOf(file: string): string {
  const parts = file.split('/');
  return parts.length === 1 ? '' : parts[0] === 'edges' ? `edges/${parts[1] ?? ''}` : (parts[0] ?? '');
}

function localImports(source: Source): string[] {
  return source.imports
    .filter((from) => from.startsWith('.'))
    .map((from) => relative(SRC, normalize(join(SRC, dirname(source.file), from))));
}

function rank(folder: string): number {
  return ORDER.indexOf(folder.split('/')[0] ?? '');
}

describe('the tree', () => {
  it('has only folders that are in the order', () => {
    const folders = [...new Set(sources.map(({ folder }) => folder).filter((folder) => folder !== ''))];
    expect(folders.filter((folder) => rank(folder) < 0)).toEqual([]);
    expect(sources.length).toBeGreaterThan(50);
  });

  it('imports from the same folder or from one above it', () => {
    const wrong = sources.flatMap((source) =>
      localImports(source)
        .filter((target) => source.folder !== '' && folderOf(target) !== source.folder)
        .filter((target) => rank(folderOf(target)) >= rank(source.folder))
        .map((target) => `${source.file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('has doors that know no edge', () => {
    const doors = sources.filter(({ folder }) => folder === 'http' || folder === 'cli');
    const wrong = doors.flatMap((door) =>
      localImports(door)
        .filter((target) => target.startsWith('edges/'))
        .map((target) => `${door.file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('imports in no circle', () => {
    const graph = new Map(sources.map((source) => [source.file, localImports(source)]));
    const done = new Set<string>();
    const walk = (file: string, path: readonly string[]): string[] => {
      if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' -> ')];
      if (done.has(file)) return [];
      const found = (graph.get(file) ?? []).flatMap((next) => walk(next, [...path, file]));
      done.add(file);
      return found;
    };
    expect(sources.flatMap(({ file }) => walk(file, []))).toEqual([]);
  });

  it('keeps clocks, randomness, I/O and the environment out of the pure folders', () => {
    const forbidden = [
      [/\bDate\.now\(|new Date\(\)|performance\.now\(|hrtime/, 'reads a clock'],
      [/Math\.random\(|randomBytes|randomUUID|getRandomValues/, 'draws at random'],
      [
        /process\.(env|argv|cwd|exit)|from 'node:(fs|net|http|https|child_process|worker_threads|os)/,
        'touches the outside',
      ],
      [/\bconsole\./, 'prints'],
    ] as const;
    const wrong = sources
      .filter(({ folder }) => PURE.includes(folder))
      .flatMap(({ file, text }) =>
        forbidden.filter(([pattern]) => pattern.test(text)).map(([, what]) => `${file} ${what}`),
      );
    expect(wrong).toEqual([]);
  });

  it('leaves timers to edges, doors, the turns of the loop and the grace of kernel/lifetime.ts', () => {
    const folders = [...PURE, 'config', 'flows'];
    const allowed = ['kernel/lifetime.ts', 'kernel/turns.ts'];
    const wrong = sources
      .filter(({ folder, file }) => folders.includes(folder) && !allowed.includes(file))
      .filter(({ text }) => /\bset(Timeout|Interval|Immediate)\(/.test(text))
      .map(({ file }) => file);
    expect(wrong).toEqual([]);
  });

  it('exits the process in main.ts alone', () => {
    expect(sources.filter(({ text }) => /process\.exit\(/.test(text)).map(({ file }) => file)).toEqual([
      'main.ts',
    ]);
  });

  it('opens every file by saying what it is', () => {
    expect(sources.filter(({ text }) => !text.startsWith('/**')).map(({ file }) => file)).toEqual([]);
  });

  it('sends the type checker nowhere', () => {
    const away = /\bas any\b|:\s*any\s*[;,)=\]>]|<any>|@ts-ignore|@ts-expect-error|eslint-disable/;
    expect(sources.filter(({ text }) => away.test(text)).map(({ file }) => file)).toEqual([]);
  });

  it('awaits nothing between verdict, policy and decision', () => {
    const check = sources.find(({ file }) => file === 'flows/check.ts')?.text ?? '';
    const method = (name: string): string =>
      new RegExp(`\\n {2}${name}\\([^]*?\\n {2}\\}\\n`).exec(check)?.[0] ?? '';
    expect(method('judge')).toMatch(
      /#verdict\([^]*decide\(verdict, remembered[^]*#evaluated\([^]*clock\.now[^]*decide\(this\.#verdict\(presented, after\), answer/,
    );
    expect(method('#evaluated')).toMatch(/policy\.decide/);
    for (const name of ['judge', '#remembered', '#evaluated', '#decided', '#verdict', '#judged', '#evidence'])
      expect(method(name)).toMatch(/^\n[^]*\{(?![^]*(await|Promise|then\())/);
  });
});
