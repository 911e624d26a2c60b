/**
 * The built-in issuer of `--dev` servers, which mints RFC 9068 access tokens. Its P-256 key follows from the fleet key, so
 * every replica of a `--dev` fleet takes what any of them minted (D-120). Its name resolves nowhere, so no other server can be
 * configured to fetch its keys by accident.
 */
import type { KeyObject } from 'node:crypto';
import { createECDH, createPrivateKey } from 'node:crypto';
import { SignJWT } from 'jose';
import { DEV_ISSUER } from '../../config/config.ts';
import type { Issuer, VerificationKey } from '../../credential/issuer.ts';
import { KeySet } from '../../credential/key-set.ts';
import { parsePublicJwk } from '../../credential/jwk.ts';
import type { Clock } from '../../kernel/clock.ts';
import { epochS } from '../../kernel/clock.ts';
import { deriveKey, toBase64Url } from '../../kernel/digest.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Random } from '../../kernel/random.ts';
import { StaticKeys } from './static-keys.ts';

export interface DevIssuerOptions {
  /** 32 bytes; the same ones are the same issuer. */
  readonly fleetKey: Uint8Array;
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

export function createDevIssuer(options: DevIssuerOptions): DevIssuer {
  const { privateKey, publicKey } = keysOf(options.fleetKey);
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

interface DevKeys {
  readonly privateKey: KeyObject;
  readonly publicKey: VerificationKey;
}

function keysOf(fleetKey: Uint8Array): DevKeys {
  const ecdh = createECDH('prime256v1');
  // Any 32 bytes are a private key, but for one draw in four thousand million: that fleet key is refused by OpenSSL.
  const d = deriveKey(fleetKey, 'writ dev issuer');
  ecdh.setPrivateKey(d);
  const point = ecdh.getPublicKey();
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map(toBase64Url) as [string, string];
  const jwk = { kty: 'EC', crv: 'P-256', x, y };
  const key = parsePublicJwk({ ...jwk, alg: 'ES256' }) as VerificationKey;
  return {
    privateKey: createPrivateKey({ key: { ...jwk, d: toBase64Url(d) }, format: 'jwk' }),
    publicKey: { ...key, kid: key.thumbprint },
  };
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
