/** The signature of a compact JWS (RFC 7515 section 5.2), by jose. Says yes or no; nothing about why leaves here. */
import { compactVerify } from 'jose';
import type { Algorithm, VerificationKey } from './issuer.ts';
import type { CompactJws } from './spelling.ts';

/** True when `key`, which must fit `algorithm`, signed the token. Spelling and header have been judged before. */
export async function isSignedBy(
  jws: CompactJws,
  key: VerificationKey,
  algorithm: Algorithm,
): Promise<boolean> {
  try {
    await compactVerify(jws.text, key.key, { algorithms: [algorithm] });
    return true;
  } catch {
    return false;
  }
}
