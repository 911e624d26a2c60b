/** Ids of entries that a caller may ask for twice. Used by the flows that append what a caller orders. */
import { hmacSha256, lengthPrefixed, toBase64Url } from '../kernel/digest.ts';
import type { IdPrefix, Random } from '../kernel/random.ts';
import { newId } from '../kernel/random.ts';

export interface OrderIdPorts {
  readonly random: Random;
  readonly idempotencyHmacKey: Uint8Array;
}

export interface Repeatable {
  readonly caller: string;
  readonly idempotencyKey: string | undefined;
}

/** The same caller with the same key names the same entry, on every replica; without a key every order is a new one. */
export function orderIdOf(
  prefix: IdPrefix,
  { caller, idempotencyKey }: Repeatable,
  ports: OrderIdPorts,
): string {
  if (idempotencyKey === undefined) return newId(prefix, ports.random);
  const mac = hmacSha256(ports.idempotencyHmacKey, lengthPrefixed([caller, idempotencyKey]));
  return `${prefix}_${toBase64Url(mac.subarray(0, 16))}`;
}
