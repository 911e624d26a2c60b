/**
 * The configuration, read once, completely, frozen: file < environment < `--set`. The caller reads the file and
 * the environment; nothing here does I/O, and no problem quotes a value. Whoever opens a thing checks its files.
 */
import { resolve } from 'node:path';
import { WritError } from '../kernel/error.ts';
import type { Address } from './address.ts';
import { isLocalAddress } from './address.ts';
import type { Problem } from './problem.ts';
import { problemsOf, renderProblems, sentenceOf } from './problem.ts';
import type { Algorithm, Capability, Settings, TokenType } from './schema.ts';
import type { DECISION_LOG_SINKS } from './schema.ts';
import { schema, storeSchema } from './schema.ts';
import type { RedisAddress } from './value.ts';
import type { ConfigSources, RawConfig } from './source.ts';
import { readSources } from './source.ts';
import type { ShownSetting } from './shown.ts';
import { shownSettings } from './shown.ts';

export type { Address } from './address.ts';
export { ALGORITHMS, CAPABILITIES, DEV_ISSUER } from './schema.ts';
export type { Algorithm, Capability, TokenType } from './schema.ts';
export { renderProblems } from './problem.ts';
export type { Problem } from './problem.ts';
export type { ConfigSources } from './source.ts';
export type { ShownSetting } from './shown.ts';

export interface Listener {
  readonly address: Address;
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile?: string };
}

export interface IssuerConfig {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly jwks: { readonly url: string } | { readonly file: string };
  readonly algorithms: readonly Algorithm[];
  readonly tokenType: TokenType;
}

export type StoreConfig =
  | { readonly kind: 'journal' }
  | {
      readonly kind: 'redis';
      readonly url: RedisAddress;
      readonly passwordFile?: string;
      readonly caFile?: string;
      /** Another server may take over behind this address. With Sentinels, always. */
      readonly failover: boolean;
      /** They say where the master is that they know by the host of `url`. */
      readonly sentinel?: { readonly urls: readonly RedisAddress[]; readonly passwordFile?: string };
    };

export interface PolicyConfig {
  /** Neither this nor `url`: the policy that ships with Writ. */
  readonly bundle?: string;
  readonly watch: boolean;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  readonly signing?: {
    readonly keys: readonly { readonly publicKeyFile: string; readonly algorithm: Algorithm }[];
    readonly scope?: string;
  };
  readonly dataBytesMax: number;
  readonly entrypoint: string;
  readonly memo: boolean;
}

/** Paths are absolute. What is absent was not configured and has no default here. */
export interface Config {
  readonly dev: boolean;
  readonly fleet: string;
  readonly replica: string;
  readonly dataDir: string;
  readonly fleetKeyFile?: string;
  /** L of DESIGN 3.2. */
  readonly leaseMs: number;
  readonly store: StoreConfig;
  readonly bootstrap: boolean;
  readonly rosterForgetMs: number;
  /** Entries from one snapshot to the next. */
  readonly snapshotEvery: number;
  readonly barrier: 'acknowledged' | 'wait';
  readonly policy: PolicyConfig;
  readonly listen: { readonly data: Listener; readonly control: Listener; readonly diagnostics: Listener };
  readonly issuers: readonly IssuerConfig[];
  readonly revocationClaims: readonly string[];
  readonly control: {
    readonly issuers: readonly IssuerConfig[];
    /** OAuth scope word -> what it allows. */
    readonly scopes: Readonly<Record<string, Capability>>;
  };
  readonly publicUrl?: string;
  /** Address ranges, each with its prefix length. */
  readonly trustedProxies: readonly string[];
  readonly clockSkewMs: number;
  readonly credentialLifeMaxMs: number;
  /** Audience of the dev issuer's tokens (`--dev` only). */
  readonly devAudience: string;
  /** All of it as people may see it, without a secret, each with where it came from. Nothing reads it but doors. */
  readonly settings: readonly ShownSetting[];
  readonly telemetry: { readonly traces: TracesConfig; readonly decisionLog: DecisionLogConfig };
}

export interface TracesConfig {
  /** Where spans go; without it there are none. */
  readonly url?: string;
  readonly headersFile?: string;
  /** Share of the traces that begin here. */
  readonly sampling: number;
}

/** The place of a sink is there exactly when it is that sink. */
export interface DecisionLogConfig {
  readonly sink: (typeof DECISION_LOG_SINKS)[number];
  readonly file?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly required: boolean;
  readonly requiredWaitMs: number;
  /** JSON pointers. */
  readonly mask: readonly string[];
  readonly subjects: 'clear' | 'pseudonym';
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Everything that is wrong, or the Config and what is weaker than it should be. Never throws for what was given. */
export function parseConfig(sources: ConfigSources): ConfigResult {
  const raw = readSources(sources);
  const parsed = schema.safeParse(raw.tree, { error: sentenceOf });
  const problems = [...raw.problems, ...problemsOfMode(raw, sources)];
  if (!parsed.success) {
    // One fault, one problem: what a source could not make of a value needs no second sentence from the schema.
    const named = new Set(problems.map(({ key }) => key));
    problems.push(...problemsOf(parsed.error.issues, raw.origins).filter(({ key }) => !named.has(key)));
  }
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  const config = deepFrozen({ ...configOf(parsed.data, sources), settings: shownSettings(raw) });
  return { ok: true, config, warnings: warningsOf(config) };
}

export type StoreResult =
  | { readonly ok: true; readonly store: StoreConfig }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** The store alone; what else is wrong with the configuration is not looked at. Never throws for what was given. */
export function parseStore(sources: ConfigSources): StoreResult {
  const raw = readSources(sources);
  const parsed = storeSchema.safeParse(raw.tree, { error: sentenceOf });
  const problems = [...raw.problems, ...problemsOf(parsed.error?.issues ?? [], raw.origins)];
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, store: storeOf(parsed.data.store, (path) => resolve(sources.cwd, path)) };
}

/** The Config, or CONFIG_INVALID with every problem in its message, one a line. */
export function requireConfig(sources: ConfigSources): Config {
  const result = parseConfig(sources);
  if (!result.ok) throw new WritError('CONFIG_INVALID', renderProblems(result.problems));
  return result.config;
}

function problemsOfMode(raw: RawConfig, sources: ConfigSources): Problem[] {
  if (sources.dev || raw.tree.devAudience === undefined) return [];
  return [{ key: 'devAudience', message: 'must not be there without --dev: there is no dev issuer then' }];
}

/** What is allowed and weakens a promise; said at start and by `config check`. */
function warningsOf(config: Config): Problem[] {
  const warnings: Problem[] = [];
  const { data } = config.listen;
  if (data.tls === undefined && !isLocalAddress(data.address)) {
    const message = 'off loopback without TLS: credentials and answers cross the network in the clear';
    warnings.push({ key: 'listen.data', message });
  }
  if (config.bootstrap) {
    const message = 'an empty store opens by itself: a new one and an erased one look the same';
    warnings.push({ key: 'bootstrap', message });
  }
  if (!config.dev && config.issuers.length === 0) {
    warnings.push({ key: 'issuers', message: 'none is configured: every credential will be refused' });
  }
  return warnings;
}

type Absolute = (path: string) => string;

function configOf(settings: Settings, { dev, cwd }: ConfigSources): Omit<Config, 'settings'> {
  const {
    lease,
    rosterForget,
    snapshotEvery,
    clockSkew,
    credentialLifeMax,
    fleetKeyFile,
    policy,
    store,
    listen,
    telemetry,
    ...rest
  } = settings;
  const absolute: Absolute = (path) => resolve(cwd, path);
  return {
    ...rest,
    dev,
    dataDir: absolute(rest.dataDir),
    ...(fleetKeyFile === undefined ? {} : { fleetKeyFile: absolute(fleetKeyFile) }),
    leaseMs: lease,
    rosterForgetMs: rosterForget,
    snapshotEvery,
    store: storeOf(store, absolute),
    policy: policyOf(policy, absolute),
    listen: {
      data: listenerOf(listen.data, absolute),
      control: listenerOf(listen.control, absolute),
      diagnostics: listenerOf(listen.diagnostics, absolute),
    },
    issuers: rest.issuers.map((issuer) => issuerOf(issuer, absolute)),
    control: {
      ...rest.control,
      issuers: rest.control.issuers.map((issuer) => issuerOf(issuer, absolute)),
    },
    clockSkewMs: clockSkew,
    credentialLifeMaxMs: credentialLifeMax,
    telemetry: telemetryOf(telemetry, absolute),
  };
}

function telemetryOf(
  { traces, decisionLog }: Settings['telemetry'],
  absolute: Absolute,
): Config['telemetry'] {
  const { requiredWait, file, tokenFile, ...rest } = decisionLog;
  const { headersFile } = traces;
  return {
    traces: { ...traces, ...(headersFile === undefined ? {} : { headersFile: absolute(headersFile) }) },
    decisionLog: {
      ...rest,
      requiredWaitMs: requiredWait,
      ...(file === undefined ? {} : { file: absolute(file) }),
      ...(tokenFile === undefined ? {} : { tokenFile: absolute(tokenFile) }),
    },
  };
}

function storeOf(settings: Settings['store'], absolute: Absolute): StoreConfig {
  const { kind, url, passwordFile, caFile, sentinel, failover = sentinel !== undefined } = settings;
  if (kind === 'journal' || url === undefined) return { kind: 'journal' };
  return {
    kind: 'redis',
    url,
    ...(passwordFile === undefined ? {} : { passwordFile: absolute(passwordFile) }),
    ...(caFile === undefined ? {} : { caFile: absolute(caFile) }),
    failover,
    ...(sentinel === undefined ? {} : { sentinel: sentinelOf(sentinel, absolute) }),
  };
}

function sentinelOf(
  { urls, passwordFile }: NonNullable<Settings['store']['sentinel']>,
  absolute: Absolute,
): NonNullable<Extract<StoreConfig, { kind: 'redis' }>['sentinel']> {
  return { urls, ...(passwordFile === undefined ? {} : { passwordFile: absolute(passwordFile) }) };
}

function policyOf(policy: Settings['policy'], absolute: Absolute): PolicyConfig {
  const { bundle, tokenFile, signing, pollMin, pollMax, ...rest } = policy;
  return {
    ...rest,
    pollMinMs: pollMin,
    pollMaxMs: pollMax,
    ...(bundle === undefined ? {} : { bundle: absolute(bundle) }),
    ...(tokenFile === undefined ? {} : { tokenFile: absolute(tokenFile) }),
    ...(signing === undefined
      ? {}
      : {
          signing: {
            ...signing,
            keys: signing.keys.map((key) => ({ ...key, publicKeyFile: absolute(key.publicKeyFile) })),
          },
        }),
  };
}

function listenerOf({ address, tls }: Listener, absolute: Absolute): Listener {
  if (tls === undefined) return { address };
  const { clientCaFile } = tls;
  return {
    address,
    tls: {
      certFile: absolute(tls.certFile),
      keyFile: absolute(tls.keyFile),
      ...(clientCaFile === undefined ? {} : { clientCaFile: absolute(clientCaFile) }),
    },
  };
}

function issuerOf(issuer: IssuerConfig, absolute: Absolute): IssuerConfig {
  return 'file' in issuer.jwks ? { ...issuer, jwks: { file: absolute(issuer.jwks.file) } } : issuer;
}

function deepFrozen<T extends object>(value: T): T {
  for (const member of Object.values(value) as unknown[]) {
    if (typeof member === 'object' && member !== null) deepFrozen(member);
  }
  return Object.freeze(value);
}
