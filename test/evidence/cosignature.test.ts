/** The text of the specification (c2sp.org/tlog-cosignature), checked here with node:crypto and nothing of ours. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkpointOrigin } from '../../src/evidence/checkpoint.ts';
import {
  readCosignature,
  renderCosignature,
  renderCosignerKey,
  signCosignature,
  verifyCosignature,
} from '../../src/evidence/cosignature.ts';
import { leafHash } from '../../src/evidence/merkle.ts';
import { toBase64 } from '../../src/kernel/digest.ts';
import { seededKey } from '../support/fleet-fixture.ts';

const key = seededKey('replica gw-1');
const root = leafHash('x');
const checkpoint = { origin: checkpointOrigin('payments', 812), size: 7, root };
const AT_S = 1_679_315_147;
const note = signCosignature(checkpoint, { replica: 'gw-1', key }, AT_S);

interface Read {
  readonly text: string;
  readonly name: string;
  readonly keyId: Buffer;
  readonly time: bigint;
  readonly signature: Buffer;
}

/** `— <key name> base64(32-bit key ID ‖ u64 timestamp ‖ 64-byte signature)` under the text. */
function read(one: string): Read {
  const [text = '', line = ''] = one.split('\n\n');
  const [, name = '', base64 = ''] = /^— (\S+) (\S+)\n$/.exec(line) ?? [];
  const blob = Buffer.from(base64, 'base64');
  expect(blob).toHaveLength(4 + 8 + 64);
  const time = blob.readBigUInt64BE(4);
  return { text: `${text}\n`, name, keyId: blob.subarray(0, 4), time, signature: blob.subarray(12) };
}

/** The 32 bytes of a vkey `name+id+base64(0x04 ‖ key)`, and its id. */
function readVkey(vkey: string): { name: string; id: string; raw: Buffer } {
  const [name = '', id = '', ...base64] = vkey.split('+');
  const material = Buffer.from(base64.join('+'), 'base64');
  expect(material).toHaveLength(33);
  expect(material[0]).toBe(4);
  return { name, id, raw: material.subarray(1) };
}

describe('a cosignature', () => {
  it('is what the specification says it is, by its own text', () => {
    const { text, name, keyId, time, signature } = read(note);
    expect(text).toBe(`writ/payments/812\n7\n${toBase64(root)}\n`);
    const vkey = readVkey(renderCosignerKey('writ/payments', 'gw-1', key.public));
    expect(name).toBe(vkey.name);
    expect(keyId.toString('hex')).toBe(vkey.id);
    const hashed = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(4), vkey.raw]);
    expect(createHash('sha256').update(hashed).digest().subarray(0, 4)).toEqual(keyId);
    expect(time).toBe(BigInt(AT_S));
    const x = vkey.raw.toString('base64url');
    const verifier = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    const message = Buffer.from(`cosignature/v1\ntime ${AT_S}\n${text}`);
    expect(verify(null, message, verifier, signature)).toBe(true);
  });

  it('is read by us as it was written', () => {
    const cosignature = verifyCosignature(note, 'gw-1', key.public);
    expect(cosignature).toMatchObject({
      ...checkpoint,
      root: new Uint8Array(root),
      name: 'writ/payments/gw-1',
    });
    expect(note.endsWith(`\n\n${cosignature?.line ?? ''}\n`)).toBe(true);
    expect(renderCosignature(readCosignature(note))).toBe(note);
  });

  it('is of one replica and one key', () => {
    expect(verifyCosignature(note, 'gw-2', key.public)).toBeUndefined();
    expect(verifyCosignature(note, 'gw-1', seededKey('other').public)).toBeUndefined();
    expect(() => readCosignature(`${note}${readCosignature(note).line}\n`)).toThrow(/of one replica/);
  });

  it('does not verify when a byte of it is altered, whichever it is', () => {
    for (let at = 0; at < note.length; at++) {
      const altered = `${note.slice(0, at)}${String.fromCharCode(note.charCodeAt(at) ^ 1)}${note.slice(at + 1)}`;
      let read: unknown;
      try {
        read = verifyCosignature(altered, 'gw-1', key.public);
      } catch (error) {
        expect(error).toMatchObject({ code: 'PROOF_INVALID' });
      }
      expect(read, `byte ${at}`).toBeUndefined();
    }
  });

  it('does not verify without its time', () => {
    const { text, name, keyId } = read(note);
    const short = toBase64(Buffer.concat([keyId, Buffer.alloc(8)]));
    expect(verifyCosignature(`${text}\n— ${name} ${short}\n`, 'gw-1', key.public)).toBeUndefined();
  });
});
