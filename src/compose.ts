/**
 * Builds every object once, in opening order, inside a Lifetime. No logic: what depends on what, and nothing else.
 * The order is a promise: no listener opens before the view is loaded, so nothing is allowed on an empty one.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config, IssuerConfig } from './config/config.ts';
import type { Issuer } from './credential/issuer.ts';
import { keyUseOf } from './credential/issuer.ts';
import { Fingerprinter } from './credential/handle.ts';
import { JwtVerifier } from './credential/verifier.ts';
import { DecisionCounts } from './decision/counts.ts';
import { createDevIssuer } from './edges/idp/dev-issuer.ts';
import { createJwksFile } from './edges/idp/jwks-file.ts';
import { createJwksUrl } from './edges/idp/jwks-url.ts';
import { JournalFeedStore } from './edges/journal/journal-feed-store.ts';
import { LocalLedger } from './edges/journal/local-ledger.ts';
import { BundleFile } from './edges/opa/bundle-file.ts';
import { BundleUrl } from './edges/opa/bundle-url.ts';
import { openPolicy } from './edges/opa/engine.ts';
import { loadSigningKeys } from './edges/opa/signing-keys.ts';
import { openClock } from './edges/system/clock.ts';
import { makeDataDir } from './edges/system/files.ts';
import { openHeldEpoch } from './edges/system/held-epoch.ts';
import {
  fingerprintKeyOf,
  loadAdminToken,
  loadFleetKey,
  loadReplicaKey,
  logKeyOf,
} from './edges/system/key-files.ts';
import { openKeptWord } from './edges/system/kept-word.ts';
import { systemRandom } from './edges/system/random.ts';
import { FileWatch } from './edges/system/file-watch.ts';
import { openPolicyFloor } from './edges/system/policy-floor.ts';
import { ReceiptFiles } from './edges/system/receipt-files.ts';
import { SessionFile } from './edges/system/session-file.ts';
import { systemTimer } from './edges/system/timer.ts';
import { GrantTable } from './decision/grants.ts';
import { VERSION } from './edges/system/version.ts';
import { activeTraceIds } from './edges/telemetry/active-trace.ts';
import { createDecisionObserver } from './edges/telemetry/decision-observer.ts';
import { metricsOf } from './edges/telemetry/metric-list.ts';
import { openDecisionLog } from './edges/telemetry/open-decision-log.ts';
import { RequestDurations } from './edges/telemetry/request-durations.ts';
import { parseTraceparent } from './edges/telemetry/trace-context.ts';
import type { Traces } from './edges/telemetry/traces.ts';
import type { CrashPoint } from './feed/crash-point.ts';
import type { FeedStore, StoreFacts } from './feed/feed-store.ts';
import type { Ledger } from './feed/ledger.ts';
import { Cursor } from './feed/cursor.ts';
import { EPS_MS, Lease } from './feed/lease.ts';
import { Members } from './feed/members.ts';
import { renderPosition } from './feed/position.ts';
import { Appender } from './flows/append.ts';
import { Authoriser } from './flows/authorise.ts';
import { LeaseTable } from './flows/barrier.ts';
import { Carrier } from './flows/carry.ts';
import { Checker } from './flows/check.ts';
import { Cosigner } from './flows/cosign.ts';
import { Effects } from './flows/effects.ts';
import { Expirer } from './flows/expire.ts';
import { Fold } from './flows/fold.ts';
import { Follower } from './flows/follow.ts';
import { Forgetter } from './flows/forget.ts';
import { Granter } from './flows/grant.ts';
import type { Identity } from './flows/identity.ts';
import { Joiner } from './flows/join.ts';
import { Lifter } from './flows/lift.ts';
import { Lineage } from './flows/lineage.ts';
import { Loader } from './flows/load.ts';
import { SessionKeeper } from './flows/keep-session.ts';
import { Mender } from './flows/mend.ts';
import { News } from './flows/news.ts';
import { Publisher } from './flows/publish.ts';
import { Replica } from './flows/replica.ts';
import { Reevaluator } from './flows/reevaluate.ts';
import { Renewer } from './flows/renew.ts';
import type { ReloadOutcome } from './flows/reload.ts';
import { Reloader } from './flows/reload.ts';
import { Reopener } from './flows/reopen.ts';
import { Reviewer } from './flows/review.ts';
import { Retracer } from './flows/retrace.ts';
import { Revoker } from './flows/revoke.ts';
import { Snapshotter } from './flows/snapshot.ts';
import { Surveyor } from './flows/survey.ts';
import { Tree } from './flows/tree.ts';
import { Vouching } from './flows/vouch.ts';
import { controlPlane } from './http/control-plane.ts';
import { dataPlane } from './http/data-plane.ts';
import { DecisionIds } from './http/decision-answer.ts';
import { devMint } from './http/dev-mint.ts';
import type { ReadinessCheck } from './http/diagnostics.ts';
import { diagnostics } from './http/diagnostics.ts';
import { FactRoutes } from './http/fact-routes.ts';
import { Inspection } from './http/inspection.ts';
import { Overview } from './http/overview.ts';
import { renderOpenApi } from './http/openapi.ts';
import { policyDetail } from './http/policy-answer.ts';
import type { OpenServer } from './http/server.ts';
import { openServer } from './http/server.ts';
import type { Clock, Timer } from './kernel/clock.ts';
import { deriveKey } from './kernel/digest.ts';
import type { WritError } from './kernel/error.ts';
import { Lifetime } from './kernel/lifetime.ts';
import type { Log } from './kernel/log.ts';
import type { Steps } from './kernel/pace.ts';
import { Pace } from './kernel/pace.ts';
import type { Random } from './kernel/random.ts';
import { newId } from './kernel/random.ts';
import type { Tracer } from './kernel/trace.ts';
import { NO_TRACER } from './kernel/trace.ts';
import { LastAccepts } from './revocation/last-accepts.ts';
import { parsingSelectors } from './revocation/selector.ts';
import { RevocationView } from './revocation/view.ts';
import { SessionRegistry } from './session/registry.ts';

/** What a running Writ is to main.ts and to tests. */
export interface Writ {
  readonly urls: { readonly data: string; readonly control: string; readonly diagnostics: string };
  readonly adminToken: string;
  /** Loads what the policy's source has now. Never rejects. */
  reloadPolicy(): Promise<ReloadOutcome>;
  /** What `/readyz` says. */
  readonly readiness: () => readonly ReadinessCheck[];
  /** Stops answering, says goodbye to the feed, closes everything in reverse. Rejects when the grace was overrun. */
  close(): Promise<void>;
}

export interface ComposeOptions {
  readonly config: Config;
  readonly log: Log;
  /** An operator's word: the first policy may be older than the one that ran last. */
  readonly allowOlderPolicy?: boolean;
  /** Tests kill the process there; nobody else gives one. */
  readonly crashPoint?: CrashPoint;
}

const GRACE_MS = 5_000;
const SHIPPED_BUNDLE = fileURLToPath(new URL('../policies/bundle.tar.gz', import.meta.url));

/** Opens everything. Rejects with a WritError when something cannot be opened; what was opened is closed again. */
export async function compose(options: ComposeOptions): Promise<Writ> {
  const lifetime = new Lifetime();
  try {
    return await open(options, lifetime);
  } catch (error) {
    await lifetime.close(GRACE_MS).catch(() => undefined);
    throw error;
  }
}

async function open(
  { config, log, allowOlderPolicy = false, crashPoint = () => undefined }: ComposeOptions,
  lifetime: Lifetime,
): Promise<Writ> {
  const { dataDir, leaseMs, credentialLifeMaxMs } = config;
  const random = systemRandom;
  const timer = systemTimer;
  await makeDataDir(dataDir);
  const { store, ledger, facts, onKey } = await openFeed({ config, random, log, crashPoint }, lifetime);
  if (facts.cutTail !== undefined)
    log.warn('a torn tail of the journal was cut', { count: facts.cutTail.bytes });

  const openedClock = await openClock({
    dataDir,
    onProblem: (detail) => log.warn('the clock has a problem', { detail }),
  });
  lifetime.own('clock', () => openedClock.close());
  const { clock } = openedClock;
  const fleetKey = await loadFleetKey({ file: config.fleetKeyFile, dataDir });
  const adminToken = await loadAdminToken(dataDir);
  const held = await openHeldEpoch(dataDir);
  const lastJoined = await openKeptWord(join(dataDir, 'joined'));
  const identity: Identity = {
    fleet: config.fleet,
    replica: config.replica,
    incarnation: newId('inc', random),
    key: await loadReplicaKey(dataDir, () => held.begin()),
    logKey: logKeyOf(fleetKey),
  };
  const traces = await openTracesTo(config, identity.incarnation, log);
  if (traces !== undefined) lifetime.own('traces', () => traces.close());
  const tracer = traces ?? NO_TRACER;
  const fingerprinter = new Fingerprinter(fingerprintKeyOf(fleetKey));
  const reloader = await openReloader(
    { config, clock, log, random, timer, tracer, allowOlderPolicy },
    lifetime,
  );
  const { policy } = reloader;

  const dev = config.dev
    ? createDevIssuer({ fleetKey, audiences: [config.devAudience], clock, random })
    : undefined;
  const openWith = (one: IssuerConfig): Issuer => openIssuer(one, { clock, log, tracer });
  const verifierOf = (issuers: readonly Issuer[]) =>
    new JwtVerifier({
      issuers,
      fingerprinter,
      clockSkewS: config.clockSkewMs / 1000,
      credentialLifeMaxS: credentialLifeMaxMs / 1000,
      revocationClaims: config.revocationClaims,
    });
  const issuers = [...config.issuers.map(openWith), ...(dev === undefined ? [] : [dev.issuer])];
  const verifier = verifierOf(issuers);

  const { splitMs = 0 } = facts;
  const term = { leaseMs, epsMs: EPS_MS, splitMs };
  const cursor = new Cursor();
  const members = new Members(onKey);
  const lease = new Lease(term);
  const news = new News();
  const owing = new News();
  const view = new RevocationView(fingerprinter);
  const grants = new GrantTable();
  const lastAccepts = new LastAccepts();
  const tree = new Tree(identity);
  const table = new LeaseTable(term, members, () => cursor.position);
  const sessionFile = new SessionFile(dataDir, fingerprinter, log, leaseMs);
  lifetime.own('session file', () => sessionFile.close());
  const sessions = new SessionRegistry(sessionFile, leaseMs);
  sessions.onChange(() => owing.notify());
  for (const record of sessionFile.restored)
    sessions.restore(record, clock.now().monoMs + sessionFile.holderLeaseMs, clock.now());
  for (const [claim, counted] of sessionFile.restoredCounts()) sessions.restoreCounts(claim, counted);
  const effects = new Effects(lastAccepts, sessions);
  const feed = { identity, store, cursor, lease, clock };
  const appender = new Appender(feed);
  const fold = new Fold({ identity, members, view, grants, effects });
  const snapshots = new Snapshotter({
    ...feed,
    members,
    table,
    appender,
    fold,
    tree,
    every: config.store.kind === 'redis' ? config.snapshotEvery : undefined,
    crashPoint,
    timer,
    log,
    owing,
    news,
  });
  const follower = new Follower({
    ...feed,
    fold,
    snapshots,
    members,
    view,
    grants,
    grantListener: { subjectsChanged: (ids) => reevaluator.subjectsChanged(ids) },
    tree,
    effects,
    sessions,
    ledger,
    timer,
    log,
    crashPoint,
  });
  const vouching = new Vouching({ ...feed, members, ledger, held, exclusive: facts.exclusive });
  const carrier = new Carrier({ ...feed, ledger, members, view, grants, appender, log });
  const loader = new Loader({ ...feed, ledger, follower, fold, carrier, timer, log });
  const lineage = new Lineage(identity, members, lastJoined);
  const reopener = new Reopener({ ...feed, ledger, members, follower, loader, vouching, lineage, log });
  const mender = new Mender({ ...feed, ledger, carrier, fold, loader, log });
  const joiner = new Joiner({
    ...feed,
    loader,
    ledger,
    members,
    follower,
    appender,
    tree,
    reopener,
    term,
    held,
    lineage,
    random,
    log,
    bootstrap: config.bootstrap,
    credentialLifeMaxMs,
  });
  const cosigner = new Cosigner({ identity, tree, table, cursor, clock, log });
  const renewer = new Renewer({
    ...feed,
    cosigner,
    snapshots,
    loader,
    mender,
    follower,
    vouching,
    carrier,
    retracer: new Retracer({ ...feed, members, fold, ledger, tree, carrier, log }),
    members,
    leaseMs,
    credentialLifeMaxMs,
    table,
    tree,
    effects,
    sessions,
    view,
    grants,
    timer,
    random,
    log,
    owing,
    news,
  });
  const closing = new AbortController();
  const checker = new Checker({
    verifier,
    fingerprinter,
    view,
    grants,
    cursor,
    lease,
    policy,
    lastAccepts,
    clock,
    clockSkewS: config.clockSkewMs / 1000,
    hasMemo: config.policy.memo,
  });
  const idempotencyHmacKey = deriveKey(fleetKey, 'writ idempotency');
  const { weakened: storeWeakens = [] } = facts;
  for (const detail of storeWeakens) log.warn('the store weakens a promise', { detail });
  const weakened = [
    ...(config.bootstrap ? ['bootstrap is on: an erased store may be taken for a new one'] : []),
    ...storeWeakens,
  ];
  const revoker = new Revoker({
    ...feed,
    members,
    table,
    cosigner,
    tree,
    appender,
    receipts: new ReceiptFiles(dataDir),
    exclusive: facts.exclusive,
    durability: facts.durability,
    barrier: config.barrier,
    weakened,
    timer,
    random,
    news,
    log,
    ledger,
    view,
    sessions,
    lastAccepts,
    effects,
    idempotencyHmacKey,
    crashPoint,
    tracer,
    closing: closing.signal,
  });
  const decisions = new DecisionCounts();
  const opened = await openDecisionLog({
    config: config.telemetry.decisionLog,
    sources: {
      labels: {
        id: identity.incarnation,
        version: VERSION,
        replica: config.replica,
        fleet: config.fleet,
      },
      entrypoint: config.policy.entrypoint,
      position: () => renderPosition(cursor.position),
      policyDigest: () => policy.revision.digest,
      trace: (asking) => activeTraceIds() ?? parseTraceparent(asking?.headers['traceparent']),
      wallMs: () => clock.now().wallMs,
      monoMs: () => performance.now(),
    },
    pseudonymKey: deriveKey(fleetKey, 'writ decision log pseudonyms'),
    log,
  });
  if (opened !== undefined) lifetime.own('decision log', () => opened.close());
  const observer = createDecisionObserver({
    counts: decisions,
    decisionLog: opened?.decisionLog,
    isRequired: config.telemetry.decisionLog.required,
    trace: traces?.decided.bind(traces),
    log,
  });
  const ids = new DecisionIds(random.bytes(16));
  const clockSkewS = config.clockSkewMs / 1000;
  const reviewer = new Reviewer({
    checker,
    sessions,
    grants,
    cursor,
    clock,
    clockSkewS,
    observer,
    ids,
    log,
  });
  for (const session of sessions.all()) reviewer.schedule(session);
  const reviews = { reviewer, sessions, clock, timer, log };
  const expirer = new Expirer({ ...reviews, lease, cursor });
  const reevaluator = new Reevaluator(reviews);
  policy.onSwap(() => reevaluator.policyChanged());
  const keeper = new SessionKeeper({ checker, reviewer, reevaluator, sessions, clock, random });
  const publisher = new Publisher({ ...feed, appender, table, timer, news, closing: closing.signal });
  const lifter = new Lifter({ ...feed, view, appender, publisher });
  const granter = new Granter({ ...feed, grants, appender, publisher, random, idempotencyHmacKey });
  const replica = new Replica({
    sessions,
    joiner,
    reopener,
    vouching,
    renewer,
    mender,
    appender,
    lease,
    identity,
    random,
    timer,
    log,
    leaseMs,
    cursor,
    clock,
  });

  const surveyor = new Surveyor({ ...feed, members, table, term });
  const { rosterForgetMs } = config;
  const forgetter = new Forgetter({
    ...feed,
    ...{ members, table, appender, term, rosterForgetMs, timer, random, log },
  });

  // Everything on this disk is applied before anyone can ask: a view that is not loaded denies nothing.
  await joiner.replay();
  await replica.start();
  lifetime.own('replica', () => replica.stop());
  const forgetting = forgetter.run(closing.signal);
  lifetime.own('forgetting', () => forgetting);
  const reviewing = Promise.all([expirer.run(closing.signal), reevaluator.run(closing.signal)]);
  lifetime.own('session reviews', () => reviewing.then(() => undefined));
  const snapshotting = snapshots.run(closing.signal);
  lifetime.own('snapshots', () => snapshotting);
  const resuming = revoker.resumeUnfinished();
  lifetime.own('resumed enforcements', () => resuming);
  lifetime.own('waiting flows', () => closing.abort());

  const servers: OpenServer[] = [];
  const serve = async (
    name: string,
    ...[listener, handler]: Parameters<typeof openServer>
  ): Promise<OpenServer> => {
    const server = await openServer(listener, handler, `listen.${name}`);
    lifetime.own(name, () => server.close());
    log.info('listening', { listener: name, address: server.url });
    servers.push(server);
    return server;
  };
  const authoriser = new Authoriser({
    adminToken,
    verifier: verifierOf(config.control.issuers.map(openWith)),
    scopes: config.control.scopes,
    view,
    lease,
    policy,
    clock,
  });
  const inspection = new Inspection({
    ...feed,
    view,
    sessions,
    members,
    surveyor,
    tree,
    cosigner,
    ledger,
    revoker,
  });
  const inPieces = <T>(steps: Steps<T>): Promise<T> =>
    new Pace({ clock, timer, haste: 'patient' }).run(steps);
  const parseTargets = (what: { selector?: unknown; selectors?: unknown }) =>
    inPieces(
      parsingSelectors(what, {
        nowMs: clock.now().wallMs,
        clockSkewS: config.clockSkewMs / 1000,
        credentialLifeMaxS: cursor.credentialLifeMaxMs(credentialLifeMaxMs) / 1000,
        leaseS: (leaseMs + splitMs) / 1000,
        revocationClaims: config.revocationClaims,
        handleOfToken: (token) => verifier.handleOfToken(token),
      }),
    );
  const { listen } = config;
  const readiness = () =>
    replica.readiness({
      policy: policyDetail(reloader),
      skewBackMs: clock.skewBackMs,
      issuersWithoutKeys: issuersWithoutKeys(issuers),
      targets: view.size,
      weakened,
      isRecording: config.telemetry.decisionLog.required ? opened?.decisionLog.isRecording : undefined,
    });
  // Loaded here, before anyone can ask: it takes the loop tens of milliseconds.
  const { METRICS_TYPE, createMetricsPage } = await import('./edges/telemetry/prometheus.ts');
  const durations = new RequestDurations();
  const probes = { record: durations.record.bind(durations) };
  const requests = { ...probes, trace: traces?.request.bind(traces) };
  const page = createMetricsPage(
    metricsOf({
      version: VERSION,
      decisions,
      requests: durations,
      policy,
      reloader,
      view,
      grants,
      lastAccepts,
      sessions,
      lease,
      clock,
      tree,
      cosigner,
      snapshots,
      renewer,
      follower,
      revoker,
      decisionLog: () => opened?.decisionLog.counts,
      traces: () => traces?.counts,
      reviewer,
      isOwingReviews: () => reevaluator.isOwing,
      skewBackMs: () => clock.skewBackMs,
      issuersWithoutKeys: () => issuersWithoutKeys(issuers).length,
    }),
  );
  const metrics = { type: METRICS_TYPE, page };
  const diagnosed = await serve(
    'diagnostics',
    listen.diagnostics,
    diagnostics({ readiness, metrics, requests: probes, log }),
  );
  let dataUrl = '';
  const overview = new Overview({
    settings: config.settings,
    version: VERSION,
    identity,
    readiness,
    surveyor,
    cosigner,
    storeWeakens,
    view,
    cursor,
    snapshots,
    sessions,
    revoker,
    lastAccepts,
    reloader,
    linesLost: () => opened?.decisionLog.counts.dropped ?? 0,
    isOwingReviews: () => reevaluator.isOwing,
    dataUrl: () => dataUrl,
  });
  const openApi = renderOpenApi({ version: VERSION, dev: config.dev });
  const factRoutes = new FactRoutes({
    ...feed,
    authoriser,
    revoker,
    lifter,
    granter,
    view,
    grants,
    parseTargets,
  });
  const mint = dev === undefined ? undefined : devMint(dev, config.devAudience);
  const control = await serve(
    'control',
    listen.control,
    controlPlane({
      authoriser,
      revoker,
      factRoutes,
      openEpoch: (...said) => replica.openEpoch(...said),
      whyClosed: () => replica.whyClosed,
      inspection,
      forgetter,
      reloader,
      overview,
      parseTargets,
      mint,
      openApi,
      requests,
      run: inPieces,
      log,
    }),
  );
  const data = await serve(
    'data',
    listen.data,
    dataPlane({
      checker,
      keeper,
      sessions,
      decisionEntrypoint: config.policy.entrypoint,
      ids,
      publicUrl: () => config.publicUrl ?? dataUrl,
      openApi,
      observer,
      requests,
      log,
    }),
  );
  dataUrl = data.url;
  return {
    urls: { data: dataUrl, control: control.url, diagnostics: diagnosed.url },
    adminToken,
    reloadPolicy: () => reloader.reload(),
    readiness,
    close: () => lifetime.close(GRACE_MS),
  };
}

interface ReloaderParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly timer: Timer;
  readonly tracer: Tracer;
  readonly allowOlderPolicy: boolean;
}

/** The policy and everything that loads it again. Its triggers close before what they trigger. */
async function openReloader(
  { config, clock, log, random, timer, tracer, allowOlderPolicy }: ReloaderParts,
  lifetime: Lifetime,
): Promise<Reloader> {
  const closing = new AbortController();
  const { signal } = closing;
  const { entrypoint, bundle, url, tokenFile, pollMinMs, pollMaxMs, dataBytesMax, watch } = config.policy;
  const { dataDir } = config;
  const signing =
    config.policy.signing === undefined ? {} : { signing: await loadSigningKeys(config.policy.signing) };
  const shared = { entrypoint, clock, signal, limits: { dataBytesMax }, ...signing };
  const token = tokenFile === undefined ? {} : { tokenFile };
  // Watched before it is read, so that no change in between is missed.
  const opened = Promise.withResolvers<Reloader>();
  const onChange = () => void opened.promise.then((reloader) => reloader.reload());
  const watching =
    watch && bundle !== undefined ? await FileWatch.open({ file: bundle, timer, onChange }) : undefined;
  lifetime.own('policy watch', () => watching?.close());
  const reloader = await Reloader.open(
    {
      source:
        url === undefined
          ? new BundleFile(bundle ?? SHIPPED_BUNDLE)
          : new BundleUrl({ url, dataDir, signal, tracer, ...token }),
      openPolicy: ({ file, ...unless }) => openPolicy({ bundle: { file }, ...shared, ...unless }),
      floor: await openPolicyFloor(dataDir),
      poll: url === undefined ? undefined : { minMs: pollMinMs, maxMs: pollMaxMs },
      clock,
      timer,
      random,
      log,
    },
    { allowOlder: allowOlderPolicy },
  );
  opened.resolve(reloader);
  const polling = reloader.run(signal);
  lifetime.own('policy', async () => {
    closing.abort();
    await Promise.all([polling, reloader.close()]);
  });
  return reloader;
}

/** The SDK is loaded only where there is a collector. */
async function openTracesTo(
  { fleet, replica, telemetry }: Config,
  incarnation: string,
  log: Log,
): Promise<Traces | undefined> {
  const { url } = telemetry.traces;
  if (url === undefined) return undefined;
  const { openTraces } = await import('./edges/telemetry/traces.ts');
  const resource = {
    'service.name': 'writ',
    'service.namespace': fleet,
    'service.version': VERSION,
    'service.instance.id': incarnation,
    'writ.replica': replica,
  };
  return openTraces({ config: { ...telemetry.traces, url }, resource, log });
}

interface IssuerPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly tracer: Tracer;
}

function openIssuer(config: IssuerConfig, ports: IssuerPorts): Issuer {
  const { issuer, audiences, algorithms, tokenType, jwks } = config;
  const shared = { issuer, use: keyUseOf(tokenType), ...ports };
  const keys =
    'url' in jwks
      ? createJwksUrl({ ...shared, url: jwks.url })
      : createJwksFile({ ...shared, file: jwks.file });
  // Fetched before the first request needs them; one that fails is asked again when a credential comes.
  void keys.refresh();
  return { issuer, audiences, algorithms, tokenType, keys };
}

function issuersWithoutKeys(issuers: readonly Issuer[]): string[] {
  return issuers.filter(({ keys }) => !keys.isAvailable()).map(({ issuer }) => issuer);
}

interface Feed {
  readonly store: FeedStore;
  /** What is on this replica's own disk. */
  readonly ledger: Ledger;
  readonly facts: StoreFacts;
  /** To be told with which key each incarnation signs. */
  readonly onKey?: (incarnation: string, key: string) => void;
}

async function openFeed(
  { config, random, log, crashPoint }: { config: Config; random: Random; log: Log; crashPoint: CrashPoint },
  lifetime: Lifetime,
): Promise<Feed> {
  const { dataDir, fleet, replica } = config;
  if (config.store.kind === 'journal') {
    const journal = new JournalFeedStore({ dataDir, random, crashPoint });
    const facts = await journal.open();
    lifetime.own('journal', () => journal.close());
    return { store: journal, ledger: journal, facts };
  }
  const { RedisLink } = await import('./edges/redis/link.ts');
  const { serverOf } = await import('./edges/redis/server-address.ts');
  const { ledger, cutTail } = await LocalLedger.open(join(dataDir, 'ledger'), crashPoint);
  lifetime.own('ledger', () => ledger.close());
  const { failover } = config.store;
  const fleetKey = await loadFleetKey({ file: config.fleetKeyFile, dataDir });
  const server = await serverOf(config.store);
  const { leaseMs } = config;
  const keys = {
    nameKey: deriveKey(fleetKey, 'writ entry names'),
    fingerprintKey: fingerprintKeyOf(fleetKey),
    logKey: logKeyOf(fleetKey).public.x,
  };
  // As with any error that nobody foresaw, the process ends: whoever watches over it starts another one.
  const onFailed = (error: WritError): void => void Promise.reject(error);
  const store = new RedisLink({ server, failover, fleet, replica, leaseMs, ...keys }, log, onFailed);
  lifetime.own('feed store', () => store.close());
  const facts = await store.open();
  return {
    store,
    ledger,
    facts: cutTail === undefined ? facts : { ...facts, cutTail },
    onKey: store.knows,
  };
}
