/**
 * The fingerprint of RSA keys that can be factored (ROCA, CVE-2017-15361): their primes, and so their modulus, lie
 * in the subgroup that 65537 generates modulo each small prime. A sound key has all of that once in 2^27 or more.
 */

const GENERATOR = 65_537;
const PRIMES = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
  109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/** For each prime, the residues that a weak modulus can have. */
const RESIDUES = PRIMES.map((prime) => ({ prime: BigInt(prime), weak: powersModulo(prime) }));

function powersModulo(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * GENERATOR) % prime) powers.add(power);
  return powers;
}

/** True when `modulus` (big endian) has the fingerprint. */
export function isRocaModulus(modulus: Uint8Array): boolean {
  const n = BigInt(`0x${Buffer.from(modulus).toString('hex')}`);
  return RESIDUES.every(({ prime, weak }) => weak.has(Number(n % prime)));
}
