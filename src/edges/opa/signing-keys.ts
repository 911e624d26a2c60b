/** The public keys that sign bundles, from their files. compose reads them once; a private one is not wanted here. */
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import type { SigningRule } from './signature.ts';

export interface SigningFiles {
  readonly keys: readonly { readonly publicKeyFile: string; readonly algorithm: string }[];
  readonly scope?: string;
}

/** CONFIG_INVALID names the file that is no public key, and the key of the configuration. */
export async function loadSigningKeys({ keys, ...rest }: SigningFiles): Promise<SigningRule> {
  const loaded = await Promise.all(
    keys.map(async ({ publicKeyFile, algorithm }, i) => {
      const pem = await readFile(publicKeyFile, 'utf8').catch((cause: unknown) => {
        throw faulty(i, `${publicKeyFile} cannot be read`, cause);
      });
      if (pem.includes('PRIVATE KEY'))
        throw faulty(i, `${publicKeyFile} is a private key: who only verifies must not be able to sign`);
      try {
        createPublicKey(pem);
      } catch (cause) {
        throw faulty(i, `${publicKeyFile} is no public key in PEM`, cause);
      }
      return { algorithm, pem };
    }),
  );
  return { keys: loaded, ...rest };
}

function faulty(i: number, message: string, cause?: unknown): WritError {
  const field = `policy.signing.keys[${i}].publicKeyFile`;
  return new WritError('CONFIG_INVALID', `${field}: ${message}`, { cause, field });
}
