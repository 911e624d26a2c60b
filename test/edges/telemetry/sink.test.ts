import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WriteChunk } from '../../../src/edges/telemetry/bounded-writer.ts';
import { descriptorSink, standardSink, streamSink } from '../../../src/edges/telemetry/sink.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-sink-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

/** What `done` was called with. */
function outcomeOf(sink: WriteChunk, chunk: string): Promise<Error | null | undefined> {
  return new Promise((resolve) => {
    sink(Buffer.from(chunk), resolve);
  });
}

describe('streamSink', () => {
  it('is done when the stream took the chunk', async () => {
    const taken: string[] = [];
    const stream = new Writable({
      write: (chunk: Buffer, _, done) => {
        taken.push(chunk.toString());
        done();
      },
    });
    expect(await outcomeOf(streamSink(stream), 'a\n')).toBeFalsy();
    expect(taken).toEqual(['a\n']);
  });

  it('says so when the stream breaks, then and ever after, and nothing is thrown', async () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) => {
        done(new Error('EPIPE'));
      },
    });
    const sink = streamSink(stream);
    expect(await outcomeOf(sink, 'a\n')).toBeInstanceOf(Error);
    expect(await outcomeOf(sink, 'b\n')).toBeInstanceOf(Error);
  });
});

describe('descriptorSink', () => {
  it('writes to a file, one chunk after the other', async () => {
    const path = join(dir, 'log');
    const descriptor = openSync(path, 'w');
    const sink = descriptorSink(descriptor);
    expect(await outcomeOf(sink, 'a\n')).toBeUndefined();
    expect(await outcomeOf(sink, 'b\n')).toBeUndefined();
    closeSync(descriptor);
    expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
  });

  it('says so when the disk is full, and writes again later', async () => {
    const descriptor = openSync('/dev/full', 'w');
    const sink = descriptorSink(descriptor);
    expect(await outcomeOf(sink, 'a\n')).toMatchObject({ code: 'ENOSPC' });
    expect(await outcomeOf(sink, 'b\n')).toMatchObject({ code: 'ENOSPC' });
    closeSync(descriptor);
  });

  it('writes all of a chunk to a reader that takes it piece by piece, without holding a thread', async () => {
    const path = join(dir, 'pipe');
    execFileSync('mkfifo', [path]);
    const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const text = 'x'.repeat(300_000);
    let isDone = false;
    const done = outcomeOf(descriptorSink(descriptor), text).then((outcome) => {
      isDone = true;
      return outcome;
    });
    let taken = 0;
    const buffer = Buffer.alloc(50_000);
    while (taken < text.length) {
      try {
        taken += readSync(descriptor, buffer);
      } catch {
        // Nothing there at this moment: the sink waits for its next try.
        expect(isDone).toBe(false);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    expect(await done).toBeUndefined();
    closeSync(descriptor);
  });
});

describe('standardSink', () => {
  it('writes to standard output and standard error, whatever they are', async () => {
    for (const descriptor of [1, 2] as const)
      expect(await outcomeOf(standardSink(descriptor), '')).toBeFalsy();
  });

  it.each(['pipe', 'terminal'])(
    'holds up neither the calls nor the exit when nobody reads the %s',
    async (kind) => {
      const script = join(dir, 'script.ts');
      const from = (file: string) =>
        JSON.stringify(new URL(`../../../src/edges/telemetry/${file}`, import.meta.url).href);
      await writeScript(script, from);
      const node = [process.execPath, script];
      // Python opens the terminal: Node cannot make one. Nobody reads its other side.
      const pty =
        'import os, pty, subprocess, sys; m, s = pty.openpty(); sys.exit(subprocess.call(sys.argv[1:], stdout=s))';
      const [command = '', ...args] = kind === 'pipe' ? node : ['python3', '-c', pty, ...node];
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let report = '';
      child.stderr.on('data', (data: Buffer) => (report += data.toString()));
      const [code] = (await once(child, 'close')) as [number];
      expect({ code, report }).toEqual({
        code: 0,
        report: expect.stringMatching(/^\{"dropped":\d{4,}\}$/) as string,
      });
      const { dropped } = JSON.parse(report) as { dropped: number };
      expect(dropped).toBeGreaterThan(1_000);
    },
  );
});

async function writeScript(path: string, from: (file: string) => string): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await writeFile(
    path,
    `import { writeSync } from 'node:fs';
     import { openLog } from ${from('log.ts')};
     import { standardSink } from ${from('sink.ts')};
     const { log, dropped, close } = openLog({ sink: standardSink(1) });
     for (let i = 0; i < 5; i++) {
       for (let j = 0; j < 1000; j++) log.info('a line', { detail: 'x'.repeat(500) });
       await new Promise(setImmediate);
     }
     await close(50);
     writeSync(2, JSON.stringify({ dropped: dropped.lines }));
     process.exit(0);`,
  );
}
