/**
 * The shapes of everything the doors answer. Nothing is parsed with them at run time: `/openapi.json` is made of them,
 * and every answer that the tests of the doors see is judged by that document. Answers may get more members later.
 */
import * as z from 'zod';
import { REASONS } from '../decision/decision.ts';
import { ERROR_CODES } from '../kernel/error.ts';
import type { ErrorCode } from '../kernel/error.ts';
import { SIGHT_STATES } from '../flows/survey.ts';
import { KILL_REASONS } from '../session/session.ts';

const CODES = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

export const position = z
  .string()
  .regex(/^(0|[1-9]\d*)-(0|[1-9]\d*)$/)
  .describe('A place in the feed: epoch-sequence.');
export const instant = z.string().meta({ format: 'date-time' }).describe('RFC 3339, UTC, milliseconds.');
const count = z.int().min(0);
const revocationId = z.string().regex(/^rev_[\w-]{22}$/);
const lockId = z.string().regex(/^lck_[\w-]{22}$/);
const grantId = z.string().regex(/^grt_[\w-]{22}$/);

/** RFC 9457. */
export const problem = z.object({
  type: z.string().regex(/^urn:writ:error:[A-Z_]+$/),
  title: z.string(),
  status: z.int(),
  code: z.enum(CODES),
  detail: z.string().describe('For people; quotes nothing of what was sent.'),
  field: z.string().optional().describe('The field at fault.'),
});

/** AuthZEN 1.0 section 5.5, with what API.md puts into `context`. */
export const decision = z.object({
  decision: z.boolean(),
  context: z.object({
    reason: z.enum(REASONS).describe('Only `permitted` is a yes.'),
    id: z.string().regex(/^dec_[\w-]+$/),
    position,
    policy: z.string().describe('Digest of the bundle that was asked.'),
    freshForMs: count.describe('How long this answer may be used, at most.'),
    detail: z.string().optional(),
    revocation: z.string().optional().describe('Id of what speaks against it.'),
    policyReason: z.string().optional(),
    obligations: z.unknown().optional(),
  }),
});

const failedEvaluation = z.object({
  decision: z.literal(false),
  context: z.object({ error: z.object({ status: z.int(), message: z.string() }) }),
});

export const decisions = z.union([
  z.object({ evaluations: z.array(z.union([decision, failedEvaluation])) }),
  decision,
]);

export const authzenMetadata = z.object({
  policy_decision_point: z.string(),
  access_evaluation_endpoint: z.string(),
  access_evaluations_endpoint: z.string(),
});

/** OPA's Data API: without `result`, the document is undefined. */
export const opaResult = z.object({ result: z.unknown().optional() });
export const opaProblem = z.object({ code: z.string(), message: z.string() });

export const sessionOpened = z.object({
  id: z.string().regex(/^ses_/).describe('The capability: whoever has it may listen, ping and end.'),
  events: z.string(),
  freshForMs: count,
});

const kill = z.object({
  reason: z.enum(KILL_REASONS),
  revocation: z.string().optional(),
  position,
});

export const sessionRefreshed = z.object({
  freshForMs: count.describe('Counted from the sending of the request.'),
  expiresAt: instant.describe('When the credential ends that the session stands on now.'),
});

export const ping = z.object({
  freshForMs: count.describe('Counted from the sending of the ping; 0 once it was killed.'),
  kill: kill.optional(),
});

export const revocationStatus = z.object({
  id: revocationId,
  position,
  state: z.enum(['accepted', 'durable', 'partial', 'enforced']),
  closure: z.enum(['CLOSED', 'PARTIAL', 'UNKNOWN']),
  appendedAt: instant.describe(
    'When the append replied, by the clock of the replica that took the order. Where neither that nor a receipt is here: when the order was sealed.',
  ),
  enforcedAt: instant
    .optional()
    .describe('As the receipt says; of a replica without it, when the outcome was sealed, a moment later.'),
  boundMs: count.describe('After appendedAt, whatever happens: nobody accepts it any more.'),
  replicas: z
    .array(
      z.object({
        replica: z.string(),
        incarnation: z.string(),
        state: z.enum(['acknowledged', 'fenced', 'left', 'outstanding']),
        at: instant.optional(),
        notLaterThan: instant.optional(),
      }),
    )
    .describe('Empty where a proven one is asked for on a replica without its receipt, which names them.'),
  sessions: z.object({
    matched: count,
    killed: count,
    unconfirmed: count,
    silent: z.array(z.object({ session: z.string(), kind: z.string() })).optional(),
  }),
  owing: z
    .array(z.object({ replica: z.string(), incarnation: z.string() }))
    .optional()
    .describe('Whose sessions are not proven to have ended; who is gone, and in no row, among them.'),
  revocationWindowMs: count,
  lateAccepts: count,
  seen: z.boolean(),
  weakened: z
    .array(z.string())
    .optional()
    .describe('What the store or an operator made weaker, as the receipt says.'),
  notCovered: z.array(z.string()).optional().describe('What the receipt does not speak for.'),
  receipt: z.string().optional().describe('Where the receipt is, once there is one on this disk.'),
  receiptOn: z
    .string()
    .optional()
    .describe(
      'The replica in whose data directory the receipt was made, where the one that answers has none.',
    ),
});

const inForce = z.boolean().describe('On the replica that answered, at that moment.');
const wasOver = z.literal(true).optional().describe('It was over before; nothing was appended.');

const lift = z
  .object({ id: z.string(), position, at: instant, caller: z.string() })
  .optional()
  .describe('What lifted it.');

export const lockStatus = revocationStatus.extend({ id: lockId, expiresAt: instant, inForce, lift });

export const lockList = z.object({
  locks: z.array(
    z.object({
      id: lockId,
      position,
      at: instant,
      caller: z.string(),
      reason: z.string().optional(),
      expiresAt: instant,
      targets: count,
      selectors: z
        .array(z.looseObject({ kind: z.string() }))
        .describe('The first ten; a token by its digest. The ledger has them all.'),
    }),
  ),
});

export const lifted = z.object({
  id: lockId,
  state: z.literal('durable'),
  inForce,
  wasOver,
  boundMs: count.optional().describe('After the append, whatever happens: no replica refuses because of it.'),
  expiresAt: instant,
  lift,
});

const grantFacts = {
  subject: z.object({ type: z.string().optional(), id: z.string() }),
  issuer: z.string().optional(),
  action: z.string(),
  resource: z.object({ type: z.string(), id: z.string().optional() }),
  until: instant.optional(),
};

export const grantStatus = z.object({
  id: grantId,
  position,
  state: z.literal('durable'),
  inForce,
  ...grantFacts,
});

export const grantList = z.object({
  grants: z.array(z.object({ id: grantId, position, at: instant, caller: z.string(), ...grantFacts })),
});

export const ungranted = z.object({
  id: grantId,
  state: z.literal('durable'),
  inForce,
  wasOver,
  boundMs: count.optional().describe('After the append, whatever happens: no replica allows because of it.'),
  ungrant: z.object({ id: z.string(), position, at: instant, caller: z.string() }).optional(),
});

export const dryRun = z.object({
  dryRun: z.literal(true),
  targets: count,
  sessions: z.object({ matched: count }),
  seen: z.boolean(),
  lastAcceptAt: instant.optional(),
});

export const revocationList = z.object({
  revocations: z.array(
    z.object({
      id: z.string(),
      position,
      at: instant,
      caller: z.string(),
      reason: z.string().optional(),
      ticket: z.string().optional(),
      targets: count,
    }),
  ),
});

export const sessionList = z.object({
  sessions: z.array(
    z.object({
      session: z.string().describe('Digest of the id.'),
      kind: z.string(),
      subject: z.string(),
      selfEnds: z.boolean(),
      openedAt: instant,
      expiresAt: instant.optional(),
      kill: z
        .object({
          reason: z.enum(KILL_REASONS),
          revocation: z.string().optional(),
          at: instant,
          unconfirmed: z.boolean().describe('The time for the confirmation of its holder is over.'),
        })
        .optional(),
    }),
  ),
  total: count,
});

export const replicaList = z.object({
  replicas: z.array(
    z.object({
      replica: z.string(),
      incarnation: z.string(),
      self: z.boolean(),
      state: z
        .enum(SIGHT_STATES)
        .describe(
          'As of the last reading of the lease table here. waiting: it renews, and holds no lease by its own word; outstanding: silent, and it may still hold a lease; succeeded: another incarnation goes on with its data; unknown: no reading of ours is recent enough.',
        ),
      joinedAt: instant.describe('By its own clock.'),
      position: position.optional().describe('Up to where it has acknowledged.'),
      lag: z.int().optional().describe('Entries that were applied here and that it has not acknowledged.'),
      freshForMs: count.optional().describe('Of the one that answers: so long its lease is surely good.'),
      mayAllowForMs: count.optional().describe('Of the others: so long, at most, theirs may be good.'),
      fencedSince: instant.optional().describe('From then on it surely held no lease, by the clock here.'),
      clock: z
        .object({ aheadMs: z.int(), withinMs: count })
        .optional()
        .describe(
          'Its clock is ahead of the one here by at least aheadMs, and by no more than withinMs beyond that, unless its renewal was on its way for longer than one reading. Known once it has acknowledged something while it was watched.',
        ),
      sessionsUnconfirmed: count.optional().describe('Sessions it was to end and has no proof of.'),
    }),
  ),
});

export const replicaForgotten = z.object({
  forgotten: z.array(z.string()).describe('Incarnations that are given no lease ever again.'),
  kept: z.array(z.object({ incarnation: z.string(), why: z.string() })),
});

export const keys = z.object({
  log: z.string().describe('The verifier key of the log: all that a stranger needs.'),
  replicas: z.array(
    z.object({
      replica: z.string(),
      incarnation: z.string(),
      key: z.string(),
      cosigner: z.string().describe("The verifier key of the replica's cosignatures (type 0x04)."),
    }),
  ),
});

const policyDigest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

export const policyStatus = z.object({
  digest: policyDigest,
  revision: z.string().optional().describe("What its makers call it: the bundle's own."),
  entrypoints: z.array(z.string()),
  isPure: z.boolean().describe('False: it asks the host for something, and no answer of it is kept.'),
  readsNow: z.boolean(),
  since: instant,
  source: z.string(),
  reloads: z.object({ loaded: count, refused: count }),
  refused: z
    .object({
      code: z.enum(['POLICY_INVALID', 'POLICY_UNREACHABLE', 'INTERNAL']),
      detail: z.string(),
      digest: policyDigest.optional(),
      at: instant,
    })
    .optional()
    .describe('What the source has instead, and why it does not run.'),
});

export const policyReloaded = z.object({ state: z.enum(['loaded', 'unchanged']), digest: policyDigest });

export const epochOpened = z.object({ epochId: z.string(), rule: z.enum(['new-fleet', 'accept-amnesia']) });
export const minted = z.object({ token: z.string() });

const checks = z.array(
  z.object({
    name: z.enum(['policy', 'keys', 'store', 'epoch', 'lease', 'view', 'decision_log']),
    ok: z.boolean(),
    detail: z.string(),
  }),
);
export const readiness = z.object({ status: z.enum(['ready', 'not ready']), checks });

export const overview = z.object({
  verdict: z.enum(['well', 'ready, with loose ends', 'not ready']),
  version: z.string(),
  fleet: z.string(),
  replica: z.string(),
  incarnation: z.string(),
  dataUrl: z.string().describe('Where its data plane listens: http://…, https://… or unix:/path.'),
  position,
  targets: count.describe('Handles in the index.'),
  replicasLive: count,
  sessions: count,
  replicasFenced: count.describe('A loose end, like those that follow.'),
  replicasOutstanding: count.describe(
    'Waiting for a lease, silent, or not known about here: they may allow.',
  ),
  promisesWeakened: count.describe("By the store's settings."),
  namesShared: count.describe('Names by which more than one live replica goes.'),
  factsNotShared: count.describe('In force here, lost by the store, and not yet appended again.'),
  snapshotsDiffering: count.describe('1 while the newest snapshot is not what this replica holds.'),
  sessionsEnding: count.describe('Told to end, and not proven to have.'),
  revocationsOpen: count.describe('Not enforced yet: coordinated here, or known to be partial.'),
  lateAccepts: count.describe('Allows of what was revoked here before. It must stay 0.'),
  ledgersForked: count.describe(
    'Replicas that were seen to hold another ledger than this one. It must stay 0.',
  ),
  bundlesRefused: count.describe('1 while the bundle offered last is refused, and the one before goes on.'),
  decisionLogLinesLost: count.describe('Since the start: the queue was full, or the sink did not take them.'),
  reviewsOwed: count.describe(
    '1 while live sessions are still to be decided again, by a policy or grants that changed.',
  ),
  looseEnds: z.array(z.string()).describe('Those of the fleet, by name.'),
  checks,
});

export const settings = z.object({
  settings: z.array(z.object({ key: z.string(), value: z.unknown(), from: z.string() })),
});

export const live = z.object({ status: z.literal('live') });
export const started = z.object({ status: z.literal('started') });
