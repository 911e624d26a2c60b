/** An issuer's keys in a local file, read again when it may have changed. The file is public: it holds no secret. */
import { open } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import { LIMITS } from '../../kernel/limits.ts';
import type { RefreshedKeysOptions, RefreshRules } from './refreshed-keys.ts';
import { REFRESH_RULES, RefreshedKeys } from './refreshed-keys.ts';

export interface JwksFileOptions extends RefreshedKeysOptions {
  readonly file: string;
}

/** Reading a file costs nobody else anything: a key put into it or taken out of it counts within seconds. */
const FILE_RULES: RefreshRules = { ...REFRESH_RULES, refreshMs: 5_000, coolDownMs: 1_000 };

/** Reads nothing: the first `refresh` does. */
export function createJwksFile(options: JwksFileOptions): RefreshedKeys {
  return new RefreshedKeys(() => readKeys(options.file), { ...options, rules: options.rules ?? FILE_RULES });
}

/** Reads one byte more than a set may have, whatever the file says its size is. */
async function readKeys(file: string): Promise<string> {
  await using handle = await open(file, 'r');
  const buffer = Buffer.alloc(LIMITS.jwksBytesMax + 1);
  let length = 0;
  for (let bytesRead = -1; bytesRead !== 0 && length < buffer.length; length += bytesRead)
    ({ bytesRead } = await handle.read(buffer, length, buffer.length - length));
  if (length > LIMITS.jwksBytesMax) throw new WritError('KEY_INVALID', 'the key set is too large');
  return buffer.toString('utf8', 0, length);
}
