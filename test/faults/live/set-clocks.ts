/** The clocks of one process, set while it runs: of those that are started with `env`, by the library of clocks.c. */
import { spawnSync } from 'node:child_process';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findPeer } from '../../support/peers.ts';
import { ROOT } from '../../support/writ-process.ts';

const SOURCE = join(import.meta.dirname, 'clocks.c');
const CACHE = join(ROOT, '.cache', 'faults');

/** Where the library is; undefined where none can be made. */
export async function buildClocks(): Promise<string | undefined> {
  const compiler = findPeer('gcc', process.env['PATH'] ?? '');
  if (compiler === undefined || process.platform !== 'linux') return undefined;
  await mkdir(CACHE, { recursive: true });
  const library = join(CACHE, 'clocks.so');
  const { status } = spawnSync(compiler, ['-O2', '-shared', '-fPIC', '-o', library, SOURCE]);
  return status === 0 ? library : undefined;
}

export class SetClocks {
  readonly #path: string;
  readonly #library: string;
  #wallMs = 0;
  #monoMs = 0;

  private constructor(path: string, library: string) {
    this.#path = path;
    this.#library = library;
  }

  /** `path`: a file of its own. */
  static async at(path: string, library: string): Promise<SetClocks> {
    await writeFile(path, Buffer.alloc(16));
    return new SetClocks(path, library);
  }

  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, SET_CLOCKS: this.#path };
  }

  /** The wall clock is ahead of the machine's by so much from now on. */
  setWall(ms: number): Promise<void> {
    this.#wallMs = ms;
    return this.#write();
  }

  /** The monotonic clock has not counted so much of what has passed: only of a process that is stopped. */
  async freeze(ms: number): Promise<void> {
    this.#monoMs -= ms;
    await this.#write();
  }

  /** Into the bytes that the process has mapped. */
  async #write(): Promise<void> {
    const bytes = Buffer.alloc(16);
    for (const [i, ms] of [this.#wallMs, this.#monoMs].entries())
      bytes.writeBigInt64LE(BigInt(Math.round(ms)) * 1_000_000n, 8 * i);
    const file = await open(this.#path, 'r+');
    try {
      await file.write(bytes, 0, bytes.length, 0);
    } finally {
      await file.close();
    }
  }
}
