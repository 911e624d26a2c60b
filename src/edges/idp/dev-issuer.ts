/**
 * The built-in issuer of `--dev` servers: a P-256 key in `dataDir`, readable by its owner only, that mints RFC 9068
 * access tokens. Its name resolves nowhere, so no other server can be configured to fetch its keys by accident.
 */
import type { KeyObject, webcrypto } from 'node:crypto';
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { DEV_ISSUER } from '../../config/config.ts';
import type { Issuer, VerificationKey } from '../../credential/issuer.ts';
import { KeySet } from '../../credential/key-set.ts';
import { parsePublicJwk } from '../../credential/jwk.ts';
import type { Clock } from '../../kernel/clock.ts';
import { epochS } from '../../kernel/clock.ts';
import { toBase64Url } from '../../kernel/digest.ts';
import { WritError, isWritError } from '../../kernel/error.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Random } from '../../kernel/random.ts';
import { StaticKeys } from './static-keys.ts';

export interface DevIssuerOptions {
  readonly dataDir: string;
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
}

export interface DevTokenRequest {
  readonly sub: string;
  readonly audience: string;
  /** `client_id`; default: `sub`, as for a client that acts for itself (RFC 9068 section 2.2). */
  readonly clientId?: string;
  /** Space-separated. */
  readonly scope?: string;
  /** Default 300. */
  readonly ttlS?: number;
  /** More claims, `act` or `sid` for example. They cannot replace the ones above, `iss`, `iat`, `exp` and `jti`. */
  readonly claims?: JsonObject;
}

export interface DevIssuer {
  /** What the verifier needs to believe its tokens. */
  readonly issuer: Issuer;
  mint(request: DevTokenRequest): Promise<string>;
}

/** Reads the key, or makes one at the first start. KEY_INVALID when it is damaged or others can read it. */
export async function openDevIssuer(options: DevIssuerOptions): Promise<DevIssuer> {
  const file = join(options.dataDir, 'dev-issuer.key');
  const privateKey = (await readKey(file)) ?? (await makeKey(file, options.random));
  const publicKey = publicKeyOf(privateKey, file);
  const issuer: Issuer = {
    issuer: DEV_ISSUER,
    audiences: options.audiences,
    algorithms: ['ES256'],
    tokenType: 'at+jwt',
    keys: new StaticKeys(new KeySet([publicKey])),
  };
  const minter = { privateKey, kid: publicKey.thumbprint, ...options };
  return { issuer, mint: (request) => mint(request, minter) };
}

function publicKeyOf(privateKey: KeyObject, file: string): VerificationKey {
  const { kty = '', crv = '', x = '', y = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const key = parsePublicJwk({ kty, crv, x, y, alg: 'ES256' });
  if (key === undefined)
    throw new WritError('KEY_INVALID', 'the dev issuer key is not P-256', { field: file });
  return { ...key, kid: key.thumbprint };
}

interface Minter extends Pick<DevIssuerOptions, 'clock' | 'random'> {
  readonly privateKey: KeyObject;
  readonly kid: string;
}

function mint(request: DevTokenRequest, minter: Minter): Promise<string> {
  const { sub, audience, clientId = sub, scope, ttlS = 300, claims = {} } = request;
  const iat = epochS(minter.clock.now());
  const payload = {
    ...claims,
    ...(scope === undefined ? {} : { scope }),
    ...{ iss: DEV_ISSUER, sub, aud: audience, client_id: clientId },
    ...{ iat, exp: iat + ttlS, jti: toBase64Url(minter.random.bytes(16)) },
  };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: minter.kid })
    .sign(minter.privateKey);
}

/** The key, or undefined when there is no file. */
async function readKey(file: string): Promise<KeyObject | undefined> {
  try {
    await using handle = await open(file, 'r');
    const { mode } = await handle.stat();
    if ((mode & 0o077) !== 0)
      throw new WritError('KEY_INVALID', 'the dev issuer key can be read by others', { field: file });
    return createPrivateKey({
      key: JSON.parse(await handle.readFile('utf8')) as webcrypto.JsonWebKey,
      format: 'jwk',
    });
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    if (isWritError(cause)) throw cause;
    // Without the cause: a parser's message quotes what it read.
    throw new WritError('KEY_INVALID', 'the dev issuer key is damaged', { field: file });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** Written whole under another name, then linked: nobody ever sees half a key, and of two makers one wins. */
async function makeKey(file: string, random: Random): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const draft = `${file}.${toBase64Url(random.bytes(8))}`;
  await writeDraft(draft, JSON.stringify(privateKey.export({ format: 'jwk' })));
  try {
    await link(draft, file);
    return privateKey;
  } catch (cause) {
    const other = await readKey(file);
    if (other === undefined)
      throw new WritError('KEY_INVALID', 'the dev issuer key cannot be made', { cause });
    return other;
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeDraft(file: string, text: string): Promise<void> {
  await using handle = await open(file, 'wx', 0o600);
  await handle.writeFile(text);
  await handle.sync();
}
