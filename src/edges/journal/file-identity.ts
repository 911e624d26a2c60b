/**
 * Which file a path leads to right now. Synchronous on purpose: what is seen must still be so when, in the same
 * step, a lease is granted. Called before every grant and every reply of an append; must never follow a guess.
 */
import { statSync } from 'node:fs';

export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly sizeBytes: number;
}

/** The file at `path`, or undefined when there is none. */
export function fileIdentity(path: string): FileIdentity | undefined {
  const seen = statSync(path, { bigint: true, throwIfNoEntry: false });
  return seen === undefined ? undefined : { dev: seen.dev, ino: seen.ino, sizeBytes: Number(seen.size) };
}

/** True when both are there and are one inode, whatever their sizes. */
export function isSameFile(left: FileIdentity | undefined, right: FileIdentity | undefined): boolean {
  return left !== undefined && right !== undefined && left.dev === right.dev && left.ino === right.ino;
}
