/** From the configuration to a connection's options: passwords and the CA are read from their files, once. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { StoreConfig } from '../../config/config.ts';
import { WritError } from '../../kernel/error.ts';
import type { SentinelOptions, ServerAddress } from './connection.ts';

type RedisConfig = Extract<StoreConfig, { kind: 'redis' }>;

const PORT = 6379;
const SENTINEL_PORT = 26379;

/** CONFIG_INVALID for a file that cannot be read. */
export async function serverOf(store: RedisConfig): Promise<ServerAddress> {
  const { url, passwordFile, caFile, sentinel } = store;
  const { host, port = PORT, path, username, isTls } = url;
  const ca = caFile === undefined ? {} : { ca: await readAuthority(caFile, 'store.caFile') };
  // The address of the master is the Sentinels' to say: its certificate is for that one.
  const servername = sentinel === undefined && isIP(host) === 0 ? { servername: host } : {};
  return {
    host,
    port,
    ...(path === undefined ? {} : { path }),
    ...(username === undefined ? {} : { username }),
    ...(await passwordOf(passwordFile, 'store.passwordFile')),
    ...(isTls ? { tls: { ...servername, ...ca } } : {}),
    ...(sentinel === undefined ? {} : { sentinel: await sentinelOf(sentinel, ca) }),
  };
}

async function sentinelOf(
  { urls, passwordFile }: NonNullable<RedisConfig['sentinel']>,
  tls: { readonly ca?: string },
): Promise<SentinelOptions> {
  const [first] = urls;
  return {
    servers: urls.map(({ host, port = SENTINEL_PORT }) => ({ host, port })),
    ...(first?.username === undefined ? {} : { username: first.username }),
    ...(await passwordOf(passwordFile, 'store.sentinel.passwordFile')),
    ...(first?.isTls === true ? { tls } : {}),
  };
}

async function passwordOf(file: string | undefined, field: string): Promise<{ readonly password?: string }> {
  return file === undefined ? {} : { password: (await read(file, field)).replace(/\r?\n$/, '') };
}

/** TLS passes over what is no certificate without a word. */
async function readAuthority(file: string, field: string): Promise<string> {
  const text = await read(file, field);
  try {
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new WritError('CONFIG_INVALID', `${file} holds no certificate in PEM`, { cause, field });
  }
}

async function read(file: string, field: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new WritError('CONFIG_INVALID', `${file} cannot be read`, { cause, field });
  }
}
