/**
 * Lines at the end of a file. It is opened anew when someone has moved it away (logrotate), and moves itself aside as
 * `<path>.1` when it is full, over the one before. Nothing here blocks the loop; a file that cannot be written costs
 * the lines of that moment.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, stat } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import type { WriteChunk } from './bounded-writer.ts';

export interface FileSinkOptions {
  readonly path: string;
  /** A line counts as written once the disk has it. */
  readonly isDurable: boolean;
  readonly fileBytesMax: number;
}

export interface OpenSink {
  readonly write: WriteChunk;
  close(): Promise<void>;
}

/** CONFIG_INVALID when the file cannot be written now. */
export async function openFileSink(options: FileSinkOptions): Promise<OpenSink> {
  const file = new LineFile(options);
  try {
    await file.ready();
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    const message = `the decision log ${options.path} cannot be written (${code})`;
    throw new WritError('CONFIG_INVALID', message, { cause, field: 'telemetry.decisionLog.file' });
  }
  return {
    write: (chunk, done) => {
      file.append(chunk).then(() => done(), done);
    },
    close: () => file.close(),
  };
}

// A pipe without a reader must fail here, not hold a thread for good.
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

class LineFile {
  readonly #options: FileSinkOptions;
  #handle: FileHandle | undefined;
  #inode: bigint | undefined;
  #bytes = 0;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  async append(chunk: Uint8Array): Promise<void> {
    try {
      const handle = await this.#handleFor(chunk.length);
      await handle.appendFile(chunk);
      if (this.#options.isDurable) await handle.datasync();
      this.#bytes += chunk.length;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** The file that the path names now. */
  async ready(): Promise<FileHandle> {
    const named = await stat(this.#options.path, { bigint: true }).catch(() => undefined);
    if (this.#handle !== undefined && named?.ino === this.#inode) return this.#handle;
    await this.close();
    const handle = await open(this.#options.path, FLAGS, 0o600);
    this.#handle = handle;
    const opened = await handle.stat({ bigint: true });
    if (!opened.isFile()) throw Object.assign(new Error('not a file'), { code: 'ENOTFILE' });
    this.#inode = opened.ino;
    this.#bytes = Number(opened.size);
    return handle;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  async #handleFor(bytes: number): Promise<FileHandle> {
    const { path, fileBytesMax } = this.#options;
    const handle = await this.ready();
    if (this.#bytes === 0 || this.#bytes + bytes <= fileBytesMax) return handle;
    await rename(path, `${path}.1`);
    return this.ready();
  }
}
