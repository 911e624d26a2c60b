/** What the coordinator of a revocation states, under the log key. receipt.ts makes and verifies it; receipt-judgement.ts judges it. */
import * as z from 'zod';
import { PEP_TIMEOUT_MS } from '../feed/lease.ts';
import { count, id, instant, name, position, sha256 } from './field.ts';

export const RECEIPT_TYP = 'writ-receipt+jws';

const replica = z.strictObject({
  replica: name,
  incarnation: id,
  state: z.enum(['acknowledged', 'fenced', 'left', 'outstanding']),
  /** Of `acknowledged`: what its acknowledgement says. */
  at: instant.optional(),
  /** Of `fenced`, and of `acknowledged` where sessions were to be waited for: when its lease was over at the latest. */
  notLaterThan: instant.optional(),
});

export const receiptStatement = z.strictObject({
  v: z.literal(2),
  fleet: name,
  /** Id of the entry. */
  revocation: id,
  position,
  epochId: id,
  /** Leaf hash of the entry. */
  leaf: sha256,
  state: z.enum(['enforced', 'partial']),
  closure: z.enum(['CLOSED', 'PARTIAL']),
  /** How it was known that no replica accepts any more (DESIGN 3.3). */
  rule: z.enum(['acknowledged', 'wait']),
  /** After `appendedAt`, whatever happens; every such bound includes what an enforcement point may take. */
  boundMs: z.int().min(PEP_TIMEOUT_MS),
  appendedAt: instant,
  enforcedAt: instant.optional(),
  replicas: z.array(replica),
  sessions: z.strictObject({ matched: count, killed: count, unconfirmed: count }),
  /** From `appendedAt` to the last accept that any replica saw; 0 where none was seen after it. */
  revocationWindowMs: count,
  /** Accepts by a replica that had applied it. */
  lateAccepts: count,
  /** Something it names was accepted before. */
  seen: z.boolean(),
  /** Promises that the store or the configuration makes weaker than they read. */
  weakened: z.array(z.string()),
  notCovered: z.array(z.string()),
  /** Digest of all else in the receipt: nothing of it can be put in the place of something that is signed as well. */
  rest: sha256,
});

export type ReceiptStatement = z.infer<typeof receiptStatement>;
/** Without what follows from all else in the receipt. */
export type Testimony = Omit<ReceiptStatement, 'rest'>;
