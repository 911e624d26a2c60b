/** Certificates for tests, made by openssl: an authority of its own, and what it signs for names and addresses. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { peerPath } from './peers.ts';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function request(dir: string, name: string, ...more: readonly string[]): Certificate {
  const [certFile, keyFile] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)];
  const args = ['req', '-x509', ...KEY, '-keyout', keyFile, '-out', certFile, '-days', '2'];
  execFileSync(peerPath('openssl'), [...args, '-subj', `/CN=${name}`, ...more], { stdio: 'ignore' });
  return { certFile, keyFile };
}

export function makeAuthority(dir: string, name: string): Certificate {
  return request(dir, name);
}

/** Signed by `authority`, for `names` such as `DNS:localhost,IP:127.0.0.1`. */
export function makeCertificate(
  dir: string,
  name: string,
  authority: Certificate,
  names: string,
): Certificate {
  const signed = ['-CA', authority.certFile, '-CAkey', authority.keyFile];
  const ends = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=${names}`];
  return request(dir, name, ...signed, ...ends);
}
