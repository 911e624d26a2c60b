/** From the configuration to a connection's options: the password and the CA are read from their files, once. */
import { readFile } from 'node:fs/promises';
import type { StoreConfig } from '../../config/config.ts';
import { WritError } from '../../kernel/error.ts';
import type { ConnectionOptions } from './connection.ts';

/** CONFIG_INVALID for a file that cannot be read. */
export async function serverOf({
  url,
  passwordFile,
  caFile,
}: Extract<StoreConfig, { kind: 'redis' }>): Promise<Omit<ConnectionOptions, 'name' | 'callMs'>> {
  const { host, port, path, username, isTls } = url;
  const password = passwordFile === undefined ? undefined : await read(passwordFile, 'store.passwordFile');
  const ca = caFile === undefined ? undefined : await read(caFile, 'store.caFile');
  return {
    host,
    port,
    ...(path === undefined ? {} : { path }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: password.replace(/\r?\n$/, '') }),
    ...(isTls ? { tls: { servername: host, ...(ca === undefined ? {} : { ca }) } } : {}),
  };
}

async function read(file: string, field: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new WritError('CONFIG_INVALID', `${file} cannot be read`, { cause, field });
  }
}
