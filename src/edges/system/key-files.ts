/**
 * The secrets of a replica, each one line in a file of its owner's: fleet key, replica key, admin token. Made at
 * first start, whole or not at all; a file that is damaged or that others can read is refused, never replaced.
 * Nothing here prints, logs or puts into an error what a file holds.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { deriveKey, parseBase64Url, toBase64Url } from '../../kernel/digest.ts';
import { WritError } from '../../kernel/error.ts';
import type { SigningKey } from '../../kernel/key.ts';
import { signingKeyOf } from '../../kernel/key.ts';
import { causeCode, createFileDurably, makeDataDir } from './files.ts';
import { systemRandom } from './random.ts';

const SECRET_BYTES = 32;
const FILE_BYTES_MAX = 1_024;
const ADMIN_TOKEN_PREFIX = 'wat_';

/** What HKDF separates the keys under the fleet key by (DESIGN 3.7). Changing one makes another fleet. */
export const KEY_LABELS = { log: 'writ log key', fingerprint: 'writ fingerprint' } as const;

/** The fleet's log key: it signs checkpoints and admits replicas and epochs. */
export function logKeyOf(fleetKey: Uint8Array): SigningKey {
  return signingKeyOf(deriveKey(fleetKey, KEY_LABELS.log));
}

/** The key of the index's fingerprints. */
export function fingerprintKeyOf(fleetKey: Uint8Array): Uint8Array {
  return deriveKey(fleetKey, KEY_LABELS.fingerprint);
}

/** A fleet key as its file holds it. */
export function renderFleetKey(fleetKey: Uint8Array): string {
  return `${toBase64Url(fleetKey)}\n`;
}

/** The 32 bytes of `file`; without one, those of `<dataDir>/fleet.key`, made when absent. KEY_INVALID. */
export async function loadFleetKey(place: {
  file?: string | undefined;
  dataDir: string;
}): Promise<Uint8Array> {
  if (place.file === undefined) return loadOrMake(place.dataDir, FLEET_KEY);
  // A configured file is shared by the fleet: made here it would be a fleet of its own, unnoticed.
  return parseSecret(place.file, FLEET_KEY, await readLine(place.file, FLEET_KEY));
}

/** This replica's own signing key, from `<dataDir>/replica.key`, made when absent, after `beforeMade`. KEY_INVALID. */
export async function loadReplicaKey(
  dataDir: string,
  beforeMade: () => Promise<void> = () => Promise.resolve(),
): Promise<SigningKey> {
  return signingKeyOf(await loadOrMake(dataDir, REPLICA_KEY, beforeMade));
}

/** The token that may do everything on the control plane, from `<dataDir>/admin-token`, made when absent. KEY_INVALID. */
export async function loadAdminToken(dataDir: string): Promise<string> {
  return loadOrMake(dataDir, ADMIN_TOKEN);
}

interface SecretKind<T> {
  readonly what: string;
  readonly fileName: string;
  /** Undefined when the line is no such secret. */
  parse(line: string): T | undefined;
  make(): string;
}

const FLEET_KEY: SecretKind<Uint8Array> = {
  what: 'fleet key',
  fileName: 'fleet.key',
  parse: parseKeyBytes,
  make: makeKeyText,
};

const REPLICA_KEY: SecretKind<Uint8Array> = {
  what: 'replica key',
  fileName: 'replica.key',
  parse: parseKeyBytes,
  make: makeKeyText,
};

const ADMIN_TOKEN: SecretKind<string> = {
  what: 'admin token',
  fileName: 'admin-token',
  parse: (line) => {
    if (!line.startsWith(ADMIN_TOKEN_PREFIX)) return undefined;
    return parseKeyBytes(line.slice(ADMIN_TOKEN_PREFIX.length)) === undefined ? undefined : line;
  },
  make: () => ADMIN_TOKEN_PREFIX + makeKeyText(),
};

function parseKeyBytes(line: string): Uint8Array | undefined {
  const bytes = parseBase64Url(line);
  return bytes?.length === SECRET_BYTES ? bytes : undefined;
}

function makeKeyText(): string {
  return toBase64Url(systemRandom.bytes(SECRET_BYTES));
}

/** Reads it, or makes it and reads what is there then: when two processes start at once, both get the winner's. */
async function loadOrMake<T>(
  dataDir: string,
  kind: SecretKind<T>,
  beforeMade?: () => Promise<void>,
): Promise<T> {
  await makeDataDir(dataDir);
  const path = join(dataDir, kind.fileName);
  let line = await readLine(path, kind);
  if (line === undefined) {
    await beforeMade?.();
    await createFileDurably(path, `${kind.make()}\n`);
    line = await readLine(path, kind);
  }
  return parseSecret(path, kind, line);
}

function parseSecret<T>(path: string, kind: SecretKind<T>, line: string | undefined): T {
  if (line === undefined) throw keyInvalid(path, kind, 'does not exist');
  const secret = kind.parse(line);
  if (secret === undefined) throw keyInvalid(path, kind, 'is damaged: it must be one line as it was made');
  return secret;
}

/** The one line of the file, or undefined when there is no such file. */
async function readLine(path: string, kind: SecretKind<unknown>): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    // O_NONBLOCK: a pipe under this name must not hold up the start. What was opened is what is judged and read.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    await refuseUnfit(file, path, kind);
    return (await file.readFile('utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    if (causeCode(cause) === 'ENOENT') return undefined;
    if (cause instanceof WritError) throw cause;
    throw keyInvalid(path, kind, `cannot be read (${causeCode(cause)})`, cause);
  } finally {
    await file?.close();
  }
}

async function refuseUnfit(file: FileHandle, path: string, kind: SecretKind<unknown>): Promise<void> {
  const stat = await file.stat();
  if (!stat.isFile()) throw keyInvalid(path, kind, 'is no file');
  if ((stat.mode & 0o077) !== 0)
    throw keyInvalid(path, kind, 'can be read or changed by others: chmod 600 it');
  if (stat.size > FILE_BYTES_MAX)
    throw keyInvalid(path, kind, 'is damaged: it must be one line as it was made');
}

function keyInvalid(path: string, kind: SecretKind<unknown>, problem: string, cause?: unknown): WritError {
  return new WritError('KEY_INVALID', `${kind.what} ${path} ${problem}`, { cause });
}
