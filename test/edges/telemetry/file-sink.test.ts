/** Real files: rotation, logrotate's move, a disk that refuses. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OpenSink } from '../../../src/edges/telemetry/file-sink.ts';
import { openFileSink } from '../../../src/edges/telemetry/file-sink.ts';

let folder: string;
let path: string;
let sink: OpenSink | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-file-sink-'));
  path = join(folder, 'decisions.jsonl');
});

afterEach(async () => {
  await sink?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(over: { isDurable?: boolean; fileBytesMax?: number } = {}): Promise<OpenSink> {
  sink = await openFileSink({ path, isDurable: false, fileBytesMax: 1_000, ...over });
  return sink;
}

function append(to: OpenSink, text: string): Promise<void> {
  const written = Promise.withResolvers<void>();
  to.write(Buffer.from(text), (error) => {
    if (error === undefined || error === null) written.resolve();
    else written.reject(error);
  });
  return written.promise;
}

const text = (at: string): Promise<string> => readFile(at, 'utf8');

describe('a file sink', () => {
  it('appends to what is there, for its owner only', async () => {
    await append(await open(), 'a\n');
    await sink?.close();
    await append(await open({ isDurable: true }), 'b\n');
    expect(await text(path)).toBe('a\nb\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('goes on in a new file when someone has moved the old one away, or removed it', async () => {
    await append(await open(), 'a\n');
    await rename(path, `${path}.old`);
    await append(sink!, 'b\n');
    expect([await text(`${path}.old`), await text(path)]).toEqual(['a\n', 'b\n']);
    await rm(path);
    await append(sink!, 'c\n');
    expect(await text(path)).toBe('c\n');
  });

  it('moves itself aside when it is full, over the one before, and splits no chunk', async () => {
    await open({ fileBytesMax: 4 });
    for (const chunk of ['aa\n', 'bb\n', 'cc\n', 'larger than all\n', 'd\n']) await append(sink!, chunk);
    expect([await text(`${path}.1`), await text(path)]).toEqual(['larger than all\n', 'd\n']);
  });

  it('counts what was there before it was opened', async () => {
    await append(await open({ fileBytesMax: 4 }), 'aa\n');
    await sink?.close();
    await append(await open({ fileBytesMax: 4 }), 'bb\n');
    expect([await text(`${path}.1`), await text(path)]).toEqual(['aa\n', 'bb\n']);
  });

  it('loses what could not be written, and writes again as soon as it can', async () => {
    const inner = join(folder, 'inner');
    await mkdir(inner);
    path = join(inner, 'decisions.jsonl');
    await append(await open(), 'a\n');
    await rm(inner, { recursive: true });
    await expect(append(sink!, 'b\n')).rejects.toThrow();
    await mkdir(inner);
    await append(sink!, 'c\n');
    expect(await text(path)).toBe('c\n');
  });

  it('refuses at start what is no file, or cannot be written', async () => {
    const refused = expect.objectContaining({
      code: 'CONFIG_INVALID',
      field: 'telemetry.decisionLog.file',
    }) as Error;
    await mkdir(path);
    await expect(open()).rejects.toThrow(refused);
    path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    // A pipe that nobody reads: it must not hold a thread.
    await expect(open()).rejects.toThrow(refused);
    path = join(folder, 'nowhere', 'x');
    await expect(open()).rejects.toThrow(refused);
    await chmod(folder, 0o700);
  });
});
