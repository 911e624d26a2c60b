/**
 * The one schema of the configuration: every key, its default and its limits. docs/config.md is compared with it
 * both ways. What it parses into is Settings; config.ts makes the Config of it.
 */
import * as z from 'zod';
import { LIMITS } from '../kernel/limits.ts';
import type { Address } from './address.ts';
import { isLocalAddress, isSameListener } from './address.ts';
import {
  address,
  addressRange,
  bytes,
  count,
  collectorUrl,
  duration,
  fetchedUrl,
  listOf,
  maskPointer,
  oneOf,
  path,
  publicUrl,
  ratio,
  redisUrl,
  word,
} from './value.ts';

/** The signature algorithms a token may have (RFC 7518, RFC 8037). Asymmetric only: `none` and HS* are not there. */
export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const TOKEN_TYPES = ['at+jwt', 'jwt', 'jwt-svid'] as const;
export type TokenType = (typeof TOKEN_TYPES)[number];

/** What a caller of the control plane may do: read, revoke and lock up to a width, give and take grants. */
export const CAPABILITIES = [
  'read',
  'revoke:token',
  'revoke:subject',
  'revoke:client',
  'revoke:issuer',
  'revoke:all',
  'lock:token',
  'lock:subject',
  'lock:client',
  'lock:issuer',
  'lock:all',
  'grant',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** The issuer of `--dev` servers. compose adds it; nobody else may configure it. */
export const DEV_ISSUER = 'https://dev.writ.invalid';

const tls = z.strictObject({
  certFile: path,
  keyFile: path,
  clientCaFile: path.exactOptional(),
});

const listener = z.union(
  [
    address.transform((at): { address: Address; tls?: z.output<typeof tls> } => ({ address: at })),
    z.strictObject({ address, tls: tls.exactOptional() }),
  ],
  { error: ({ input }) => (input === null ? undefined : 'must be an address or a map { address, tls }') },
);

/** Who can reach the control plane can try to revoke: off this machine it is never served in the clear. */
const controlListener = listener.refine(
  (it) => it.tls !== undefined || isLocalAddress(it.address),
  'must have tls: { certFile, keyFile } when it is not on loopback: the control plane is never served in the clear',
);

const jwks = z
  .strictObject({ url: fetchedUrl.exactOptional(), file: path.exactOptional() })
  .transform((source, context): { url: string } | { file: string } => {
    if (source.url !== undefined && source.file === undefined) return { url: source.url };
    if (source.file !== undefined && source.url === undefined) return { file: source.file };
    context.addIssue({ code: 'custom', message: 'must be either { url: … } or { file: … }', input: source });
    return z.NEVER;
  });

const issuerName = word(
  `an issuer exactly as its tokens spell it: 1 to ${LIMITS.nameCharsMax} visible ASCII characters`,
  /^[\x21-\x7e]{1,2048}$/,
).refine((name) => name !== DEV_ISSUER, `must not be ${DEV_ISSUER}: that issuer exists with --dev only`);

const audience = word('an audience: text that is not empty', /^[^\n]{1,2048}$/);

const issuer = z.strictObject({
  issuer: issuerName,
  audiences: listOf(audience, 1),
  jwks,
  algorithms: listOf(oneOf(ALGORITHMS), 1).prefault(['RS256', 'ES256']),
  tokenType: oneOf(TOKEN_TYPES).prefault('at+jwt'),
});

/**
 * For rules over several values: they are judged too when another value is at fault, so that all problems come
 * together. Such a rule must look at what it is given, because a value at fault is whatever it was.
 */
const evenIfFaulty = { when: ({ value }: { value: unknown }) => isObject(value) };

/** One issuer twice would leave it open which keys and audiences count. */
const issuers = listOf(issuer)
  .superRefine(refuseRepeats, { when: ({ value }) => Array.isArray(value) })
  .prefault([]);

function refuseRepeats(list: readonly unknown[], context: z.RefinementCtx): void {
  const names = list.map((entry) => (isObject(entry) ? entry.issuer : undefined));
  names.forEach((name, i) => {
    if (typeof name !== 'string' || names.indexOf(name) === i) return;
    context.addIssue({
      code: 'custom',
      path: [i, 'issuer'],
      message: 'must be there once: it repeats an earlier one',
    });
  });
}

/** Claims that have a kind of selector of their own, and those that name a moment or a list, name no revocation. */
const UNFIT_CLAIMS = [
  'iss',
  'sub',
  'aud',
  'exp',
  'nbf',
  'iat',
  'jti',
  'sid',
  'client_id',
  'azp',
  'act',
  'cnf',
];

const revocationClaim = word(
  'the name of a claim: 1 to 64 letters, digits and _ : . / -',
  /^[A-Za-z0-9_:./-]{1,64}$/,
).refine(
  (name) => !UNFIT_CLAIMS.includes(name),
  `must be a claim of your own, none of ${UNFIT_CLAIMS.join(', ')}: they have selectors of their own, or name nothing`,
);

/** An OAuth scope-token (RFC 6749 section 3.3). */
const scope = word('an OAuth scope word', /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/);

const control = z.strictObject({
  issuers,
  scopes: z
    .record(scope, oneOf(CAPABILITIES))
    .prefault(Object.fromEntries(CAPABILITIES.map((capability) => [`writ:${capability}`, capability]))),
});

const listen = z
  .strictObject({
    data: listener.prefault('127.0.0.1:8181'),
    control: controlListener.prefault('127.0.0.1:8282'),
    diagnostics: listener.prefault('127.0.0.1:9464'),
  })
  .superRefine(refuseCollisions, evenIfFaulty);

function refuseCollisions(listeners: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const opened: { name: string; address: Address }[] = [];
  for (const [name, { address }] of Object.entries(listeners).filter(isParsedListener)) {
    const other = opened.find((earlier) => isSameListener(earlier.address, address));
    opened.push({ name, address });
    if (other === undefined) continue;
    context.addIssue({ code: 'custom', path: [name], message: `must not be where listen.${other.name} is` });
  }
}

function isParsedListener(entry: [string, unknown]): entry is [string, { address: Address }] {
  return isObject(entry[1]) && isObject(entry[1].address);
}

/** Where the lines of the decision log go. */
export const DECISION_LOG_SINKS = ['off', 'file', 'stdout', 'http'] as const;

const decisionLog = z
  .strictObject({
    sink: oneOf(DECISION_LOG_SINKS).prefault('off'),
    file: path.exactOptional(),
    url: fetchedUrl.exactOptional(),
    tokenFile: path.exactOptional(),
    required: z.boolean().prefault(false),
    requiredWait: duration('10ms', '5s').prefault('1s'),
    mask: listOf(maskPointer).prefault([]),
    subjects: oneOf(['clear', 'pseudonym']).prefault('clear'),
  })
  .superRefine(refuseSinkWithoutPlace, evenIfFaulty);

/** A sink has its place, and a place its sink: one that is written down and not used would be taken for a log. */
function refuseSinkWithoutPlace(log: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const refuse = (key: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [key], message });
  };
  for (const [sink, place] of [
    ['file', 'file'],
    ['http', 'url'],
  ] as const) {
    if (log['sink'] === sink && log[place] === undefined) refuse(place, `must be there for the sink ${sink}`);
    if (log['sink'] !== sink && log[place] !== undefined)
      refuse(place, `must not be there without the sink ${sink}`);
  }
  if (log['tokenFile'] !== undefined && log['sink'] !== 'http')
    refuse('tokenFile', 'must not be there without the sink http');
  if (log['required'] === true && log['sink'] === 'off')
    refuse('required', 'must not be true without a sink: no answer could be given');
}

const traces = z
  .strictObject({
    url: collectorUrl.exactOptional(),
    headersFile: path.exactOptional(),
    sampling: ratio.prefault(1),
  })
  .superRefine(refuseHeadersInTheClear, evenIfFaulty);

function refuseHeadersInTheClear(
  { url, headersFile }: { readonly url?: unknown; readonly headersFile?: unknown },
  context: z.RefinementCtx,
): void {
  if (headersFile === undefined || (typeof url === 'string' && fetchedUrl.safeParse(url).success)) return;
  const message = 'must not be there unless url is https: (or http: on loopback): it has secrets in it';
  context.addIssue({ code: 'custom', path: ['headersFile'], message });
}

const signing = z.strictObject({
  keys: listOf(z.strictObject({ publicKeyFile: path, algorithm: oneOf(ALGORITHMS).prefault('RS256') }), 1),
  scope: word('text of 1 to 256 characters', /^[^\n]{1,256}$/).exactOptional(),
});

const policy = z
  .strictObject({
    bundle: path.exactOptional(),
    watch: z.boolean().prefault(true),
    url: fetchedUrl.exactOptional(),
    tokenFile: path.exactOptional(),
    pollMin: duration('1s', '24h').prefault('60s'),
    pollMax: duration('1s', '24h').prefault('120s'),
    signing: signing.exactOptional(),
    dataBytesMax: bytes(1_024, 64 * 1024 * 1024).prefault(32 * 1024 * 1024),
    entrypoint: word(
      'a path of a rule such as writ/authz/decision',
      /^[A-Za-z_]\w*(\/[A-Za-z_]\w*)*$/,
    ).prefault('writ/authz/decision'),
    memo: z.boolean().prefault(true),
  })
  .superRefine(refuseOddPolicies, evenIfFaulty);

/** One source; what belongs to the other one, or to none, would silently do nothing. */
function refuseOddPolicies(settings: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { bundle, url, tokenFile, signing, pollMin, pollMax } = settings;
  const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  if (bundle !== undefined && url !== undefined) refuse('url', 'must not be there beside policy.bundle');
  if (tokenFile !== undefined && url === undefined)
    refuse('tokenFile', 'must not be there without policy.url');
  if (signing !== undefined && bundle === undefined && url === undefined)
    refuse(
      'signing',
      'must not be there without policy.bundle or policy.url: the policy that ships is not signed',
    );
  if (typeof pollMin === 'number' && typeof pollMax === 'number' && pollMax < pollMin)
    refuse('pollMax', 'must be at least policy.pollMin');
}

const sentinel = z
  .strictObject({ urls: listOf(redisUrl, 1), passwordFile: path.exactOptional() })
  .superRefine(refuseUnlikeSentinels, evenIfFaulty);

/** One user, one password and one way to all of them. */
function refuseUnlikeSentinels({ urls }: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const [first, ...others] = Array.isArray(urls) ? urls.filter(isObject) : [];
  const isLike = (other: Record<string, unknown>) =>
    other['username'] === first?.['username'] && other['isTls'] === first?.['isTls'];
  if (first?.['path'] !== undefined || others.some(({ path }) => path !== undefined))
    context.addIssue({ code: 'custom', path: ['urls'], message: 'must have redis:// or rediss:// URLs' });
  else if (!others.every(isLike))
    context.addIssue({ code: 'custom', path: ['urls'], message: 'must agree on user and TLS' });
}

const store = z
  .strictObject({
    kind: oneOf(['journal', 'redis']).prefault('journal'),
    url: redisUrl.exactOptional(),
    passwordFile: path.exactOptional(),
    caFile: path.exactOptional(),
    failover: z.boolean().exactOptional(),
    sentinel: sentinel.exactOptional(),
  })
  .superRefine(refuseOddStores, evenIfFaulty);

/** What belongs to the other kind would silently do nothing. */
function refuseOddStores(settings: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { kind, url, caFile, failover, sentinel } = settings;
  const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  if (kind === 'redis' && url === undefined) refuse('url', 'must be there for the kind redis');
  for (const key of ['url', 'passwordFile', 'caFile', 'failover', 'sentinel'])
    if (kind === 'journal' && settings[key] !== undefined)
      refuse(key, 'must not be there without kind: redis');
  if (caFile !== undefined && isObject(url) && url['isTls'] !== true)
    refuse('caFile', 'must not be there without rediss: in store.url');
  if (sentinel === undefined) return;
  if (isObject(url) && (url['port'] !== undefined || url['path'] !== undefined))
    refuse('url', "must name the Sentinels' name of the master as host, without a port");
  if (failover === false) refuse('failover', 'must not be false with store.sentinel');
}

/** The store alone, for who makes one ready and runs no replica. */
export const storeSchema = z.object({ store: store.prefault({}) });

export const schema = z
  .strictObject({
    fleet: word('1 to 64 of a-z, 0-9 and -', /^[a-z0-9-]{1,64}$/).prefault('default'),
    replica: word('1 to 128 letters, digits and . _ -', /^[A-Za-z0-9._-]{1,128}$/),
    dataDir: path.prefault('./writ-data'),
    fleetKeyFile: path.exactOptional(),
    lease: duration('500ms', '60s').prefault('3s'),
    store: store.prefault({}),
    bootstrap: z.boolean().prefault(false),
    rosterForget: duration('1s', '168h').prefault('10m'),
    snapshotEvery: count('entries', 100, 1_000_000).prefault(10_000),
    barrier: oneOf(['acknowledged', 'wait']).prefault('acknowledged'),
    policy: policy.prefault({}),
    listen: listen.prefault({}),
    issuers,
    revocationClaims: listOf(revocationClaim).prefault([]),
    control: control.prefault({}),
    publicUrl: publicUrl.exactOptional(),
    trustedProxies: listOf(addressRange).prefault(['127.0.0.1/32', '::1/128']),
    clockSkew: duration('0s', `${LIMITS.clockSkewMs / 1000}s`).prefault('5s'),
    credentialLifeMax: duration('1m', '87600h').prefault('24h'),
    devAudience: audience.prefault('writ-dev'),
    telemetry: z
      .strictObject({ traces: traces.prefault({}), decisionLog: decisionLog.prefault({}) })
      .prefault({}),
  })
  .superRefine(refuseHastyForgetting, evenIfFaulty)
  .superRefine(refuseFleetWithoutKey, evenIfFaulty);

/** A replica that is forgotten fences for good: silence of a lease or two must not be enough (DESIGN 3.4). */
function refuseHastyForgetting(settings: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { lease, rosterForget } = settings;
  if (typeof lease !== 'number' || typeof rosterForget !== 'number' || rosterForget >= 2 * lease) return;
  context.addIssue({ code: 'custom', path: ['rosterForget'], message: 'must be at least twice the lease' });
}

/** The same on every replica, so it cannot be made by one of them. */
function refuseFleetWithoutKey(settings: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { store, fleetKeyFile } = settings;
  if (!isObject(store) || store['kind'] !== 'redis' || fleetKeyFile !== undefined) return;
  const message = 'must be there with a redis store: `writ key fleet` makes one, the same for all replicas';
  context.addIssue({ code: 'custom', path: ['fleetKeyFile'], message });
}

/** What the schema makes of a configuration: paths as they were given, durations in milliseconds. */
export type Settings = z.output<typeof schema>;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
