/** The two calls whose failure a journal must survive, as a port: tests let them fail or hang. */
import type { FileHandle } from 'node:fs/promises';

export interface Syscalls {
  /** pwrite(2) of all of `bytes` at `offset`; resolves to how many were written. */
  write(file: FileHandle, bytes: Uint8Array, offset: number): Promise<number>;
  /**
   * fdatasync(2). It is enough: it also writes the metadata that is needed to read the data back, and for a file
   * that grew that is its size (POSIX "synchronized I/O data integrity completion"; Linux fdatasync(2)).
   */
  sync(file: FileHandle): Promise<void>;
}

export const SYSCALLS: Syscalls = {
  write: async (file, bytes, offset) => (await file.write(bytes, 0, bytes.length, offset)).bytesWritten,
  sync: (file) => file.datasync(),
};
