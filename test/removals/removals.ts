/**
 * Every check that stands between a credential and an allow, taken out one at a time. `find` is the exact text of
 * the check and occurs once in its file; with `replace` in its place the named test must fail, or the check is
 * guarded by nothing. `node test/removals/run.ts` says which are.
 */
export interface Removal {
  /** What is taken out, as a sentence about the sidecar that is left. */
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The test that must fail: its file, and a part of its title. */
  readonly test: { readonly file: string; readonly name: string };
}

const credential = (name: string): string => `src/credential/${name}.ts`;
const idp = (name: string): string => `src/edges/idp/${name}.ts`;

function test(file: string, name: string): Removal['test'] {
  return { file: `test/${file}.test.ts`, name };
}

const attack = (name: string): Removal['test'] => test('credential/attacks', name);
const proof = (name: string): Removal['test'] => test('credential/dpop', name);

const SPELLING: readonly Removal[] = [
  {
    name: 'a signature may be spelled in any way that decodes',
    file: credential('spelling'),
    find: '  if (parseBase64Url(token.slice(second + 1)) === undefined) return undefined;\n',
    replace: '',
    test: attack('is refused before it is verified: padding at the end'),
  },
  {
    name: 'a token is named by the hash of the whole string',
    file: credential('spelling'),
    find: 'return sha256Hex(jws.signingInput);',
    replace: 'return sha256Hex(jws.text);',
    test: attack('keeps its handle under the other ECDSA s'),
  },
  {
    name: 'a token may have any size',
    file: credential('verifier'),
    find: "    if (isTooLarge(credential.token)) return invalid('size');\n",
    replace: '',
    test: attack('is refused before any split'),
  },
  {
    name: 'claims may be there twice, the last one wins',
    file: credential('spelling'),
    find: 'strictMembers: true',
    replace: 'strictMembers: false',
    test: attack('are refused: a claim twice'),
  },
  {
    name: 'bytes that are not UTF-8 are replaced instead of refused',
    file: credential('spelling'),
    find: 'fatal: true',
    replace: 'fatal: false',
    test: attack('are refused when they are not UTF-8'),
  },
];

const HEADER: readonly Removal[] = [
  {
    name: 'the signature is not looked at',
    file: credential('verifier'),
    find: "    if (!(await isSignedBy(jws, key, header.algorithm))) return invalid('signature');\n",
    replace: '',
    test: attack('is of another key, of another token, or has one bit changed'),
  },
  {
    name: 'a token may bring a key or say where one is',
    file: credential('profile'),
    find: "['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64']",
    replace: "['crit', 'b64']",
    test: attack('is refused for its jku, and nothing is fetched'),
  },
  {
    name: 'critical extensions are ignored',
    file: credential('profile'),
    find: "['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64']",
    replace: "['jwk', 'jku', 'x5u', 'x5c']",
    test: attack('is refused: {"b64":true}'),
  },
  {
    name: 'a token chooses among all algorithms',
    file: credential('profile'),
    find: 'issuer.algorithms.find((allowed) => allowed === header.alg)',
    replace: 'header.alg as Algorithm | undefined',
    test: attack('cannot use an algorithm that its issuer is not configured for'),
  },
  {
    name: 'a key verifies by algorithms that are not its own',
    file: credential('key-set'),
    find: "return key.fits.has(algorithm) ? { state: 'found', key } : { state: 'unfit' };",
    replace: "return { state: 'found', key };",
    test: attack('cannot use a key for an algorithm that is not the key’s own'),
  },
  {
    name: 'any typ will do',
    file: credential('profile'),
    find: "  if (!hasType(header.typ, issuer.tokenType)) return invalid('type');\n",
    replace: '',
    test: attack('is refused by its typ wherever at+jwt is asked for'),
  },
  {
    name: 'an ID token or SET passes as a plain JWT',
    file: credential('profile'),
    find: "FOREIGN_CLAIMS.some((claim) => Object.hasOwn(claims, claim)) ? invalid('type') : undefined",
    replace: 'undefined',
    test: attack('is refused by its claims where plain JWTs are taken: SET'),
  },
  {
    name: 'a kid may be anything',
    file: credential('profile'),
    find: "  if (kid !== undefined && !(isName(kid) && kid.length <= LIMITS.keyIdCharsMax)) return invalid('key_id');\n",
    replace: '',
    test: attack('is refused as none'),
  },
];

const KEYS: readonly Removal[] = [
  {
    name: 'a token without kid takes the first key that fits',
    file: credential('key-set'),
    find: "others.length === 0 ? { state: 'found', key } : { state: 'ambiguous' }",
    replace: "others.length >= 0 ? { state: 'found', key } : { state: 'ambiguous' }",
    test: attack('is missing: only the one key that fits is taken'),
  },
  {
    name: 'two keys may have one name',
    file: credential('key-set'),
    find: "  if (new Set(kids).size !== kids.length) throw new WritError('KEY_INVALID', 'the key set names a key twice');\n",
    replace: '',
    test: attack('is refused whole when it names two keys alike'),
  },
  {
    name: 'a key set may hold secrets',
    file: credential('key-set'),
    find: "  if (jwks.some(isSecretJwk)) throw new WritError('KEY_INVALID', 'the key set holds a secret key');\n",
    replace: '',
    test: attack('is refused whole when a private or symmetric key lies in it'),
  },
  {
    name: 'RSA keys may be short',
    file: credential('jwk'),
    find: 'bits < LIMITS.rsaBitsMin',
    replace: 'bits < 0',
    test: attack('leaves out RSA keys that are short'),
  },
  {
    name: 'an RSA exponent may be 1',
    file: credential('jwk'),
    find: 'exponent.length > 1 || first >= 3',
    replace: 'exponent.length > 1 || first >= 1',
    test: attack('leaves out RSA keys that are short'),
  },
  {
    name: 'ROCA keys pass',
    file: credential('jwk'),
    find: 'isOdd(modulus) && !isRocaModulus(modulus)',
    replace: 'isOdd(modulus)',
    test: attack('leaves out RSA keys that are short'),
  },
  {
    name: 'a key that left its set is still believed for what is in the cache',
    file: credential('verifier'),
    find: 'if (known === undefined || !hasKeyStill(known))',
    replace: 'if (known === undefined)',
    test: test('credential/verifier', 'takes with it what it signed, at the next use'),
  },
  {
    name: 'a key that was replaced under its name is taken for the old one',
    file: credential('verifier'),
    find: ' || found.key.thumbprint !== known.thumbprint',
    replace: '',
    test: test('credential/verifier', 'is missed though its name is given to another key'),
  },
  {
    name: 'every unknown kid is asked for',
    file: idp('refreshed-keys'),
    find: 'return ageMs(this.#triedAt, now) >= pauseMs;',
    replace: 'return pauseMs > 0;',
    test: attack('is random, 10,000 times'),
  },
  {
    name: 'a set of keys is believed for ever',
    file: idp('refreshed-keys'),
    find: 'age < this.#rules.staleMs ? this.#loaded.set : undefined',
    replace: 'this.#loaded.set',
    test: test('edges/idp/refreshed-keys', 'make tokens refused that were accepted'),
  },
  {
    name: 'redirects are followed to wherever',
    file: idp('jwks-url'),
    find: "redirect: 'error'",
    replace: "redirect: 'follow'",
    test: test('edges/idp/jwks-url', 'are not fetched from where the answer points'),
  },
  {
    name: 'keys come in the clear',
    file: idp('jwks-url'),
    find: 'url === null || !isSafeUrl(url)',
    replace: 'url === null',
    test: test('edges/idp/jwks-url', 'is refused: http://idp.example/jwks'),
  },
];

const CLAIMS: readonly Removal[] = [
  {
    name: 'an unknown issuer falls back to the only one',
    file: credential('profile'),
    find: "return issuers.get(iss) ?? refuse('unknown_issuer', 'issuer');",
    replace: "return issuers.get(iss) ?? [...issuers.values()][0] ?? refuse('unknown_issuer', 'issuer');",
    test: attack('is judged by iss as an exact string: a slash more'),
  },
  {
    name: 'a token for another audience passes',
    file: credential('profile'),
    find: "  if (!hasAudience(claims.aud, issuer.audiences)) return invalid('audience');\n",
    replace: '',
    test: attack('is judged by aud as exact strings: "other"'),
  },
  {
    name: 'an audience that only begins like ours is ours',
    file: credential('claim'),
    find: "if (typeof aud === 'string') return audiences.includes(aud);",
    replace: "if (typeof aud === 'string') return audiences.some((ours) => aud.startsWith(ours));",
    test: attack('is judged by aud as exact strings: "api/"'),
  },
  {
    name: 'claims that RFC 9068 demands may be missing',
    file: credential('profile'),
    find: "['client_id', 'jti'].every(",
    replace: '[].every(',
    test: attack('is no RFC 9068 token without jti'),
  },
  {
    name: 'a token may hide its age by having no iat',
    file: credential('claim'),
    find: "  if (!isEpochSeconds(iat)) return invalid('claims');\n",
    replace: '',
    test: attack('is refused without iat, whatever its profile'),
  },
  {
    name: 'a jti may be a number, which no revocation names',
    file: credential('profile'),
    find: "  if (NAME_CLAIMS.some(isMistyped)) return invalid('claims');\n",
    replace: '',
    test: test('credential/profile', 'jti is text that is not empty'),
  },
  {
    name: 'expiry is checked once, when a token is first seen',
    file: credential('verifier'),
    find: 'checkSpan(known.token.span, wallMs) ?? checkPresented(known, credential)',
    replace: 'checkPresented(known, credential)',
    test: test('credential/verifier', 'has its times checked again'),
  },
  {
    name: 'expired tokens pass',
    file: credential('claim'),
    find: "  if (wallMs >= span.untilMs) return refuse('expired', 'expired');\n",
    replace: '',
    test: attack('over before the skew'),
  },
  {
    name: 'nbf is ignored',
    file: credential('claim'),
    find: "  if (wallMs < span.fromMs) return refuse('not_yet_valid', 'not_yet_valid');\n",
    replace: '',
    test: attack('not yet, beyond the skew'),
  },
  {
    name: 'exp may be missing or no number',
    file: credential('claim'),
    find: "  if (!isEpochSeconds(exp)) return invalid('claims');\n",
    replace: '',
    test: attack('no exp'),
  },
  {
    name: 'a token issued in the future is younger than every cutoff',
    file: credential('claim'),
    find: 'issuedAtS * 1000 > wallMs + rules.clockSkewS * 1000',
    replace: 'issuedAtS < 0',
    test: attack('issued in the future, beyond the skew'),
  },
  {
    name: 'a token may outlive the revocations that were kept for it',
    file: credential('claim'),
    find: 'lifeS > rules.credentialLifeMaxS',
    replace: 'lifeS > Infinity',
    test: attack('a life of a day and a second'),
  },
  {
    name: 'one trust domain speaks for another',
    file: credential('profile'),
    find: "issuer.issuer.startsWith('spiffe://') ? domain === issuer.issuer : domain !== undefined",
    replace: 'domain !== undefined',
    test: test('credential/profile', 'speaks only for the trust domain whose bundle signed it'),
  },
];

const HANDLES: readonly Removal[] = [
  {
    name: 'a dead agent does not kill what it delegated',
    file: credential('handles'),
    find: '    ...token.actors.flatMap(actorHandles),\n',
    replace: '',
    test: test('credential/handles', 'is revoked by each of its links and by no other'),
  },
  {
    name: 'a chain of actors has any length',
    file: credential('actor'),
    find: ' || actors.length >= LIMITS.actorsMax',
    replace: '',
    test: test('credential/handles', 'is refused when it is longer than the limit'),
  },
  {
    name: 'a claim that cannot be named is left out, and the token slips past its revocation',
    file: credential('handles'),
    find: "if (text === undefined || handles.length >= LIMITS.claimHandlesMax) return invalid('claims');",
    replace: 'if (text === undefined) continue;',
    test: test('credential/handles', 'refuses the token when it cannot be named surely'),
  },
];

const BINDING: readonly Removal[] = [
  {
    name: 'a bound token passes as a bearer token',
    file: credential('verifier'),
    find: "  if (credential.scheme === 'Bearer' && jkt !== undefined) return invalid('proof_required');\n",
    replace: '',
    test: proof('is never a bearer token'),
  },
  {
    name: 'a binding that is not known is no binding',
    file: credential('confirmation'),
    find: "  if (jkt === undefined && x5t === undefined) return invalid('confirmation');\n",
    replace: '',
    test: test('credential/confirmation', 'that cannot be checked refuses the token: jwk'),
  },
  {
    name: 'any certificate will do',
    file: credential('confirmation'),
    find: 'certificateThumbprint(certificate) === x5t',
    replace: 'certificateThumbprint(certificate) !== x5t.slice(1)',
    test: test('credential/confirmation', 'is refused without it, with another'),
  },
  {
    name: 'a proof by any key will do',
    file: credential('dpop'),
    find: 'key.thumbprint === jkt && key.fits.has(algorithm)',
    replace: 'jkt && key.fits.has(algorithm)',
    test: proof('is by the key the token is bound to'),
  },
  {
    name: 'the signature of a proof is not looked at',
    file: credential('dpop'),
    find: "return isSigned ? { ok: true, jti } : invalid('proof_signature');",
    replace: "return isSigned || !isSigned ? { ok: true, jti } : invalid('proof_signature');",
    test: proof('is by the key the token is bound to'),
  },
  {
    name: 'a proof is good for every method',
    file: credential('dpop'),
    find: "  if (htm !== demand.method) return invalid('proof_method');\n",
    replace: '',
    test: proof('is refused when it is about another method'),
  },
  {
    name: 'a proof is good for every URI',
    file: credential('dpop'),
    find: "  if (asked === undefined || normalUri(htu) !== asked) return invalid('proof_uri');\n",
    replace: '',
    test: proof('is refused when it is about another path'),
  },
  {
    name: 'a proof is good for ever',
    file: credential('dpop'),
    find: "  if (Math.abs(wallMs - iat * 1000) > LIMITS.proofAgeMs) return invalid('proof_time');\n",
    replace: '',
    test: proof('is refused when it is about an hour ago'),
  },
  {
    name: 'a proof is good for every token',
    file: credential('dpop'),
    find: "return ath === toBase64Url(sha256(demand.token)) ? jti : invalid('proof_token');",
    replace: 'return jti;',
    test: proof('is refused when it is about another token'),
  },
  {
    name: 'another kind of JWT passes as a proof',
    file: credential('dpop'),
    find: "typ !== 'dpop+jwt' || ",
    replace: '',
    test: proof('is refused for its header: typ of an access token'),
  },
  {
    name: 'the key of a proof may be a private one',
    file: credential('jwk'),
    find: 'isSecretJwk(jwk) ? undefined : partsOf(jwk)',
    replace: 'partsOf(jwk)',
    test: proof('is refused for its header: jwk with a private member'),
  },
  {
    name: 'a proof is good twice',
    file: credential('proof-log'),
    find: "    if (this.#current.has(id) || this.#previous.has(id)) return 'replayed';\n",
    replace: '',
    test: proof('is accepted with a proof by that key, each proof once'),
  },
  {
    name: 'a proof is forgotten while it can still be used',
    file: credential('proof-log'),
    find: 'this.#current.has(id) || this.#previous.has(id)',
    replace: 'this.#current.has(id)',
    test: test('credential/proof-log', 'knows a proof again for as long as it could be accepted'),
  },
];

const PRESENTED: readonly Removal[] = [
  {
    name: 'of several Authorization headers one is taken',
    file: credential('parse-credential'),
    find: "  if (others.length > 0 || value.includes(',')) return unreadable('several_credentials');\n",
    replace: '',
    test: test('credential/parse-credential', 'is refused when there are several: twice'),
  },
  {
    name: 'a credential of null is none, and the asserted subject is decided on',
    file: credential('parse-credential'),
    find: 'if (input === undefined) return NONE;',
    replace: 'if (input === undefined || input === null) return NONE;',
    test: test('credential/parse-credential', 'it is never taken for absent'),
  },
  {
    name: 'cold tokens are verified without limit',
    file: credential('verifier'),
    find: 'if (this.#flights.size >= LIMITS.verificationsInFlightMax)',
    replace: 'if (this.#flights.size < 0)',
    test: test('credential/verifier', 'is limited: beyond it a token is told that there is too much'),
  },
];

const follow = (name: string): Removal['test'] => test('flows/follow', name);

const APPLYING: readonly Removal[] = [
  {
    name: 'a position is said before its handles are in the index',
    file: 'src/flows/follow.ts',
    find: `    const applied = isGenuine ? yield* view.applying(line) : undefined;
    // Only now, and in one step: a decision that names this position has all of its handles.
    tree.append(line, cursor.advance(line, isGenuine));
`,
    replace: `    tree.append(line, cursor.advance(line, isGenuine));
    const applied = isGenuine ? yield* view.applying(line) : undefined;
`,
    test: follow('is in the index whole before the cursor says its position'),
  },
  {
    name: 'what does not continue the history is indexed before that is noticed',
    file: 'src/flows/follow.ts',
    find: '    await pace.run(cursor.checking(lines));\n',
    replace: '',
    test: follow('of which nothing is ours leaves nothing in the index'),
  },
  {
    name: 'a position is acknowledged while sessions are still being told',
    file: 'src/flows/follow.ts',
    find: '    await pace.run(this.#kill(applied));\n',
    replace: '    void pace.run(this.#kill(applied));\n',
    test: follow('is acknowledged once the last of them was told'),
  },
  {
    name: 'the clock says enforced over sessions that nobody has told yet',
    file: 'src/flows/enforce.ts',
    find: 'comparePositions(cursor.settled, this.#appended.position) >= 0',
    replace: 'comparePositions(cursor.position, this.#appended.position) >= 0',
    test: follow('is not called enforced by the clock while this replica has yet to tell them'),
  },
];

const checkFlow = 'src/flows/check.ts';

const MEMO: readonly Removal[] = [
  {
    name: 'a token may name another issuer’s subject as its actor and have its grants',
    file: 'src/decision/grants.ts',
    find: 'actor?.issuer === issuer ? issuer : undefined',
    replace: 'actor?.issuer',
    test: test('decision/grants', 'is not to be had by naming it as the actor'),
  },
  {
    name: 'a policy that was replaced goes on answering',
    file: checkFlow,
    find: '      known.revision === revision &&\n',
    replace: '',
    test: test('flows/check', 'is dropped with the policy it came from'),
  },
  {
    name: 'an answer that depends on the time is kept',
    file: checkFlow,
    find: '(revision.readsNow ? known.nowS === nowS : nowS < known.endS)',
    replace: 'nowS < known.endS',
    test: test('flows/check', 'holds within one second where the policy reads the time'),
  },
  {
    name: 'a grant that was taken away goes on permitting',
    file: checkFlow,
    find: '      known.generation === this.#ports.grants.generation &&\n',
    replace: '',
    test: test('flows/check', 'is dropped when a grant is given or taken away'),
  },
  {
    name: 'a grant that has ended goes on permitting',
    file: checkFlow,
    find: '(revision.readsNow ? known.nowS === nowS : nowS < known.endS)',
    replace: '(revision.readsNow ? known.nowS === nowS : true)',
    test: test('flows/check', 'is dropped when a grant is given or taken away'),
  },
  {
    name: 'an answer to one credential is given to another',
    file: checkFlow,
    find: '      known.credential === credential &&\n',
    replace: '',
    test: test('flows/check', 'is of one verified credential'),
  },
  {
    name: 'a policy that rolls dice is asked once',
    file: checkFlow,
    find: 'hasMemo && revision.isPure',
    replace: 'hasMemo',
    test: test('flows/check', 'is not kept of a policy that reads clock'),
  },
  {
    name: 'a key that left goes on verifying what comes as the same object',
    file: credential('verifier'),
    find: 'met !== undefined && hasKeyStill(met)',
    replace: 'met !== undefined',
    test: test(
      'credential/verifier',
      'takes it from a credential that is presented as the very same object too',
    ),
  },
];

const telemetry = (name: string): string => `src/edges/telemetry/${name}.ts`;

const waits = (name: string): Removal['test'] => test('regression/answers-that-wait', name);
const batch = (name: string): Removal['test'] => test('regression/batch-in-one-turn', name);

const BATCH: readonly Removal[] = [
  {
    name: 'an allow of a batch goes out as it was before another item waited',
    file: 'src/http/evaluations.ts',
    find: "if (look.isReady && look.decision.effect !== 'allow') this.#denied",
    replace: 'if (look.isReady) this.#denied',
    test: batch('gives others turns, and has no allow that was revoked'),
  },
  {
    name: 'a batch is answered before its lines are written',
    file: 'src/http/evaluations.ts',
    find: 'if (unready.length > 0) return writeAll',
    replace: 'if (unready.length < 0) return writeAll',
    test: test('http/decision-log', 'lets no yes out without a line, at any door'),
  },
  {
    name: 'a batch is answered by a lease that ended while it was looked at',
    file: 'src/http/evaluations.ts',
    find: 'this.#ports.freshForMs() > 0 ? pass : this.#pass()',
    replace: 'pass',
    test: batch('has no allow of a lease that ended during its last look'),
  },
  {
    name: 'a batch under a slow policy holds everyone up',
    file: 'src/http/evaluations.ts',
    find: 'performance.now() >= untilMs)',
    replace: 'false)',
    test: batch('does not hold everyone up for what a slow policy'),
  },
  {
    name: 'a policy that outlasts the lease permits',
    file: checkFlow,
    find: 'decide(this.#verdict(presented, after), answer)',
    replace: 'decide(verdict, answer)',
    test: test('flows/check', 'does not allow by a lease that ended while policy was asked'),
  },
  {
    name: 'what waits behind another answer of its connection is decided before',
    file: 'src/http/pipeline.ts',
    find: 'if (res.socket !== null) {',
    replace: 'if (res.writable) {',
    test: waits('is decided when its own can go out'),
  },
  {
    name: 'an item of a batch may be as large as the batch',
    file: 'src/http/evaluations.ts',
    find: '    sizes.require(item);\n',
    replace: '',
    test: test('regression/heavy-batches', 'has no item larger than what may be asked alone'),
  },
  {
    name: 'an answer waits for a batch of its turn',
    file: 'src/http/turn.ts',
    find: '        if (isLong && given.length > 0) break;\n',
    replace: '',
    test: test('regression/heavy-batches', 'come after those that were decided before them'),
  },
  {
    name: 'long answers are one turn',
    file: 'src/http/turn.ts',
    find: 'if (performance.now() >= endMs) {',
    replace: 'if (endMs < 0) {',
    test: test('regression/heavy-batches', 'leave the loop to a renewal in between'),
  },
  {
    name: 'a connection may queue bodies without end',
    file: 'src/http/pipeline.ts',
    find: 'const weight = 1 + Math.floor(bodyChars / WEIGHT_CHARS);',
    replace: 'const weight = bodyChars < 0 ? WEIGHT_CHARS : 1;',
    test: test('regression/heavy-batches', 'are as many as the connection may hold, by their size'),
  },
  {
    name: 'a session stays whose holder hung up before it was told of it',
    file: 'src/http/session-routes.ts',
    find: '    if (id !== undefined && !isWanted()) keeper.abandon(id);\n',
    replace: '',
    test: test('regression/heavy-batches', 'is none: a revocation of its credential waits for nobody'),
  },
  {
    name: 'a restart forgets who was told to end',
    file: 'src/session/registry.ts',
    find: '    if (!KILLS_AGAIN.has(event.reason)) this.#store.told(live.ref, event);\n',
    replace: '',
    test: test('http/facts', 'lets nobody go on who was told to end'),
  },
  {
    name: 'a restart forgets who was let go without proof',
    file: 'src/session/registry.ts',
    find: "    if (as === 'lost' && claims.length > 0) this.#store.lost(live.ref, claims);\n    else ",
    replace: '    ',
    test: test('flows/evidence', 'because a restart has forgotten who was let go without proof'),
  },
  {
    name: 'a policy runs that answers no request',
    file: 'src/edges/opa/prepare.ts',
    find: '  requireAnswer(host, image, bundle.inputPaths, options.entrypoint);\n',
    replace: '',
    test: test('edges/opa/self-test', 'refuses one whose answer is none'),
  },
  {
    name: 'the lines of a batch are rendered in one go',
    file: 'src/edges/telemetry/decision-log.ts',
    find: '      if (performance.now() >= untilMs) break;\n',
    replace: '',
    test: test('regression/heavy-batches', 'whose lines are as dear as can be holds nobody up ()'),
  },
  {
    name: 'a connection may queue requests without end',
    file: 'src/http/pipeline.ts',
    find: 'if (waiting > LIMITS.pipelinedMax) socket.destroy();',
    replace: '',
    test: waits('is cut off with its connection'),
  },
  {
    name: 'finished answers wait for all that came with them',
    file: 'src/http/turn.ts',
    find: 'if (isLong || performance.now() >= untilMs) break;',
    replace: 'if (isLong) break;',
    test: test('http/turn', 'lets no decision wait for others that take long'),
  },
  {
    name: 'a session is opened that was killed while its line was written',
    file: 'src/flows/keep-session.ts',
    find: "if (isLive || judgement.effect !== 'allow') return judgement;",
    replace: 'if (isLive || session !== undefined) return judgement;',
    test: waits('is not opened where it was killed by what has ended since'),
  },
  {
    name: 'any proof of a batch counts as the one that was used',
    file: 'src/http/data-plane.ts',
    find: 'JSON.stringify([scheme, token, proof, method, uri, certificate])',
    replace: 'JSON.stringify([scheme, token, method])',
    test: batch('is used once for all questions about its request'),
  },
];

const TELEMETRY: readonly Removal[] = [
  {
    name: 'a yes that was revoked while its line was written goes out',
    file: 'src/flows/record.ts',
    find: 'const isReady = this.#written !== undefined && isSameAnswer(this.#written, decision);',
    replace: 'const isReady = this.#written !== undefined;',
    test: test('flows/record', 'with a line of its own, where the revocation landed'),
  },
  {
    name: 'a yes goes out whose line could not be written',
    file: 'src/flows/record.ts',
    find: 'if (!isTried || !(await record(decision))) this.#settled',
    replace: 'if (!isTried || (await record(decision), false)) this.#settled',
    test: test('flows/record', 'is none where its line cannot be written'),
  },
  {
    name: 'a line says another value, or another policy, than its answer',
    file: 'src/flows/record.ts',
    find: 'policyReason, obligations, value, evidence?.policy]',
    replace: 'policyReason, obligations]',
    test: test('flows/record', 'has its line with the very value it answers'),
  },
  {
    name: 'a yes that is another one each time is written down without end',
    file: 'src/flows/record.ts',
    find: '!(isAllow && this.#lines >= LINES_MAX) && isWanted()',
    replace: '!(isAllow && this.#lines >= 8) && isWanted()',
    test: test('flows/record', 'is none after three lines of a yes'),
  },
  {
    name: 'lines are written for a caller who has hung up',
    file: 'src/flows/record.ts',
    find: '!(isAllow && this.#lines >= LINES_MAX) && isWanted()',
    replace: '!(isAllow && this.#lines >= LINES_MAX)',
    test: test('flows/record', 'has no line once nobody waits for it'),
  },
  {
    name: 'a key that left while a line was written goes on permitting',
    file: credential('verifier'),
    find: '    if (hasKeyStill(known)) return checkSpan(known.token.span, wallMs) ?? verification;\n',
    replace: '    return checkSpan(known.token.span, wallMs) ?? verification;\n',
    test: test('credential/verifier', 'is looked at again after a wait'),
  },
  {
    name: 'a token that ended while a line was written goes on permitting',
    file: credential('verifier'),
    find: '    if (hasKeyStill(known)) return checkSpan(known.token.span, wallMs) ?? verification;\n',
    replace: '    if (hasKeyStill(known)) return verification;\n',
    test: test('credential/verifier', 'is looked at again after a wait'),
  },
  {
    name: 'the credential is not looked at again after a wait',
    file: checkFlow,
    find: 'return this.judge(request, this.#reverify(verification));',
    replace: 'return this.judge(request, verification);',
    test: test('flows/check', 'is judged again after a wait'),
  },
  {
    name: 'the credential of the data API is not looked at again after a wait',
    file: checkFlow,
    find: 'const verification = this.#reverify(presentedAs);',
    replace: 'const verification = presentedAs;',
    test: test('flows/check', 'is judged again after a wait'),
  },
  {
    name: 'a line that is late counts as written',
    file: telemetry('decision-log'),
    find: 'recorded.resolve(false);\n    }, this.#options.recordMs',
    replace: 'recorded.resolve(true);\n    }, this.#options.recordMs',
    test: test('edges/telemetry/decision-log', 'has failed when the sink is late'),
  },
  {
    name: 'a replica that answers nothing for want of lines says that it is ready',
    file: 'src/flows/replica.ts',
    find: "name: 'decision_log', ok: isRecording",
    replace: "name: 'decision_log', ok: true",
    test: test('http/decision-log', 'lets no yes out without a line, at any door'),
  },
  {
    name: 'a token that a caller put somewhere else is written down',
    file: telemetry('decision-mask'),
    find: "    if (hasToken(text)) eraseTokens(event, '', erased);\n",
    replace: '',
    test: test('edges/telemetry/decision-mask', 'finds a token wherever it is put'),
  },
  {
    name: 'what was presented as a credential is written down',
    file: telemetry('decision-mask'),
    find: '[PRESENTED, ...pointers, ...claims]',
    replace: '[...pointers, ...claims]',
    test: test('edges/telemetry/decision-mask', 'erases what was presented as a credential'),
  },
  {
    name: 'a sink that is stuck fills the memory',
    file: telemetry('bounded-writer'),
    find: 'this.#pendingBytes + bytes > this.#options.pendingBytesMax',
    replace: 'false',
    test: test('edges/telemetry/bounded-writer', 'drops and counts what does not fit'),
  },
];

const flow = (name: string): string => `src/flows/${name}.ts`;
const reevaluated = (name: string): Removal['test'] => test('flows/reevaluate', name);
const expired = (name: string): Removal['test'] => test('flows/expire', name);

const SESSIONS: readonly Removal[] = [
  {
    name: 'what runs goes on by a policy that was replaced',
    file: flow('reevaluate'),
    find: '    this.#ports.sessions.outdate();\n',
    replace: '',
    test: reevaluated('kills the sessions it denies, tells why, and leaves the others'),
  },
  {
    name: 'a change during a pass is not for those decided before it',
    file: flow('reevaluate'),
    find: '      this.#settled = generation;\n',
    replace: '      this.#settled = sessions.generation;\n',
    test: reevaluated('decides in slices; a change during the pass begins again'),
  },
  {
    name: 'what cannot be known is taken for decided',
    file: flow('reevaluate'),
    find: "if (reviewer.review(session, cause) === 'unsettled') return false;",
    replace: 'reviewer.review(session, cause);',
    test: reevaluated('does not lose whose grants have changed'),
  },
  {
    name: 'sessions of an actor do not follow its grants',
    file: 'src/session/registry.ts',
    find: 'return actor === undefined || actor === subject ? [subject] : [subject, actor];',
    replace: 'return actor === undefined || actor === subject ? [subject] : [subject];',
    test: reevaluated('have their sessions decided again, and those that they act in'),
  },
  {
    name: 'a session of an earlier run is taken for decided',
    file: 'src/session/registry.ts',
    find: 'const NEVER_DECIDED = 0;',
    replace: 'const NEVER_DECIDED = 1;',
    test: reevaluated('is decided again at start'),
  },
  {
    name: 'a ping is answered by what was decided before the policy changed',
    file: flow('keep-session'),
    find: 'sessions.isOutdated(session) || ',
    replace: '',
    test: reevaluated('reaches a holder that pings before the pass reaches its session'),
  },
  {
    name: 'a ping is answered by grants that were taken away',
    file: flow('keep-session'),
    find: ' || reevaluator.owes(session)',
    replace: '',
    test: reevaluated('is told that the grant of billing is gone'),
  },
  {
    name: 'a ping is answered by grants that were taken away, once the pass has begun with their subject',
    file: flow('reevaluate'),
    find: '[this.#subjects, this.#round].some',
    replace: '[this.#subjects].some',
    test: reevaluated('is told that the grant of billing is gone'),
  },
  {
    name: 'grants that keep changing keep a policy from what runs',
    file: flow('reevaluate'),
    find: '      if (this.#isPolicyOwed) return true;\n',
    replace: '',
    test: reevaluated('reaches every session although grants keep changing'),
  },
  {
    name: 'a holder fills the disk with the credential that it has',
    file: 'src/edges/system/session-file.ts',
    find: '    if (before !== undefined && renderOpened(before, this.holderLeaseMs) === text) return;\n',
    replace: '',
    test: test('edges/system/session-file', 'does not grow by a credential that is there already'),
  },
  {
    name: 'a holder fills the disk with fresher credentials',
    file: 'src/edges/system/session-file.ts',
    find: '    this.#open.set(record.ref, record);\n    this.#compact();\n',
    replace: '    this.#open.set(record.ref, record);\n',
    test: test('edges/system/session-file', 'stays bounded while fresher credentials come'),
  },
  {
    name: 'a session outlives its credential on a replica that is fenced',
    file: flow('review'),
    find: '    if (timeMs >= endOfCredentialMs(session, clockSkewS)) return EXPIRED;\n',
    replace: '',
    test: expired('dies on a replica that is fenced too'),
  },
  {
    name: 'a wall clock that was set back lets sessions live on',
    file: 'src/session/timetable.ts',
    find: 'byMono !== undefined && byMono.endsMonoMs <= now.monoMs',
    replace: 'byMono !== undefined && byMono.endsMonoMs < 0',
    test: expired('dies though the wall clock was set back and stands still'),
  },
  {
    name: 'a ping is answered by what policy said at another time',
    file: flow('keep-session'),
    find: 'checker.isTimeBound || ',
    replace: '',
    test: expired('is told at its next ping that its time is over'),
  },
  {
    name: 'time alone never reaches a session that does not ping',
    file: flow('review'),
    find: 'Math.min(endMs, againMs)',
    replace: 'endMs',
    test: expired('that never pings is killed within half a minute'),
  },
  {
    name: 'a kill whose outcome came with it is answered for to the end of days',
    file: flow('follow'),
    find: '      effects.killed(id);\n',
    replace: '',
    test: test('flows/claims', 'answers for the sessions of revocations'),
  },
  {
    name: 'a ping lets a holder go on beyond the end of its credential',
    file: flow('keep-session'),
    find: 'Math.min(checker.freshForMs(), this.#leftMs(session))',
    replace: 'checker.freshForMs()',
    test: expired('is told by no ping that it may go on for longer'),
  },
  {
    name: "a session may go on with somebody else's credential",
    file: flow('keep-session'),
    find: 'verified.issuer !== issuer || verified.subject !== session.subject',
    replace: 'verified.subject !== session.subject',
    test: expired('of somebody else, or of another issuer, changes nothing'),
  },
  {
    name: 'a session that was killed while a credential was verified goes on',
    file: flow('keep-session'),
    find: "    reviewer.review(session, 'holder');\n    const { request",
    replace: '    const { request',
    test: expired('comes too late for a session whose time has come, or that policy denies by now'),
  },
  {
    name: 'a fresher credential is not reached by a revocation while it is decided on',
    file: 'src/session/registry.ts',
    find: '    this.#addFooting(offered);\n',
    replace: '',
    test: test('session/registry', 'that is being decided on is reached by a revocation'),
  },
  {
    name: 'a fresher credential is taken before it is on disk',
    file: 'src/session/registry.ts',
    find: '      this.#store.opened({ ...recordOf(session), ...fresh });\n',
    replace: '',
    test: test('session/registry', 'that is taken is the only one from then on; on disk before'),
  },
];

const locks = (name: string): Removal['test'] => test('revocation/locks', name);
const grants = (name: string): Removal['test'] => test('decision/grants', name);

const FACTS: readonly Removal[] = [
  {
    name: 'a lock is not looked at',
    file: 'src/revocation/view.ts',
    find: 'return this.locks.size === 0 ? CLEAR : this.#locked(handles, nowS);',
    replace: 'return CLEAR;',
    test: locks('stops what it names whatever its iat'),
  },
  {
    name: 'a lock goes on after its end',
    file: 'src/revocation/locks.ts',
    find: 'return nowS < expiresAtS;',
    replace: 'return nowS <= expiresAtS;',
    test: locks('ends by itself at the second it names'),
  },
  {
    name: 'a lock that is repeated after its lift locks again',
    file: 'src/revocation/locks.ts',
    find: '    if (lift !== undefined) return false;\n',
    replace: '',
    test: locks('does nothing when its lift came first'),
  },
  {
    name: 'a tombstone leaves while what it buries could come back',
    file: 'src/revocation/locks.ts',
    find: 'if (untilS < forgetS && !this.#byId.has(id))',
    replace: 'if (!this.#byId.has(id))',
    test: locks('keeps a tombstone as long as what it buries could be in force'),
  },
  {
    name: 'a lock that was lifted meanwhile still kills',
    file: 'src/flows/follow.ts',
    find: "      if (reason === 'locked' && !view.locks.isInForce(id, epochS(now))) continue;\n",
    replace: '',
    test: test('flows/facts', 'that the same page lifts kills nobody'),
  },
  {
    name: 'sessions of an earlier run outlive a lock',
    file: 'src/flows/join.ts',
    find: '    follower.replayed();\n',
    replace: '',
    test: test('flows/facts', 'kill what the run before could not kill any more'),
  },
  {
    name: 'a replay kills by locks that are over',
    file: 'src/flows/follow.ts',
    find: "applied.filter(({ reason }) => reason !== 'locked')",
    replace: 'applied',
    test: test('flows/facts', 'kill the sessions that they reach, and none that were opened after'),
  },
  {
    name: 'a lock that ended before the last word is called enforced',
    file: 'src/flows/enforce.ts',
    find: '    if (this.isMoot) return;\n',
    replace: '',
    test: test('flows/lock', 'is not proven when it ends between the last reading and the receipt'),
  },
  {
    name: 'a lock that is over here lets go of the silent sessions it killed',
    file: 'src/flows/effects.ts',
    find: 'if (!this.#sessions.releaseClaim(id)) this.#unproven.add(id);',
    replace: 'this.#sessions.forgetClaim(id);',
    test: test('flows/lock', 'is not called enforced by the one whose clock is behind'),
  },
  {
    name: 'a lock that is over here lets go of sessions that were never proven dead',
    file: 'src/session/registry.ts',
    find: 'counted.open + counted.lost > 0',
    replace: 'counted.open > 0',
    test: test('session/registry', 'is let go of once each of its sessions is proven dead'),
  },
  {
    name: 'a holder whose lease a ping prolonged while it was killed counts as dead by the lease before',
    file: 'src/session/registry.ts',
    find: 'if (now.monoMs < awaitedUntilMs(live)) this.#await(live);\n    else if',
    replace: 'if',
    test: test('session/registry', 'is waited for by a ping that was answered while it was being killed'),
  },
  {
    name: 'each of many tallies of one instant settles as much as the loop can bear',
    file: 'src/session/registry.ts',
    find: 'if (this.#sweptAt === now) return;',
    replace: '',
    test: test('session/registry', 'no faster because there are many tallies'),
  },
  {
    name: 'whoever orders faster than can be proven is not slowed down',
    file: 'src/flows/revoke.ts',
    find: 'this.#running <= RUNNING_MAX',
    replace: 'this.#running >= 0',
    test: test('regression/flood', 'piles up no enforcements'),
  },
  {
    name: 'what was told is settled only while somebody looks',
    file: 'src/flows/expire.ts',
    find: 'if (!sessions.settleNext(now)) return;',
    replace: 'return;',
    test: test('flows/expire', 'counted dead by their leases without anybody asking for a tally'),
  },
  {
    name: 'a revocation is lifted',
    file: 'src/flows/lift.ts',
    find: "    throw new WritError('NOT_LIFTABLE', 'this is a revocation');\n",
    replace: '    return {} as LockRecord;\n',
    test: test('flows/lock', 'of a revocation is refused'),
  },
  {
    name: 'the right to revoke lifts what others locked',
    file: 'src/flows/authorise.ts',
    find: "(need.isOwn && isHeld(held, 'revoke:', need.what))",
    replace: "isHeld(held, 'revoke:', need.what)",
    test: test('flows/lock', 'revoke may lock as much, and lift only what it locked itself'),
  },
  {
    name: 'a grant goes on after its end',
    file: 'src/decision/grants.ts',
    find: 'record.ungrant === undefined && nowS < endOf(record)',
    replace: 'record.ungrant === undefined && nowS <= endOf(record)',
    test: grants('ends at the second it names'),
  },
  {
    name: 'a grant that is repeated after it was taken away is given again',
    file: 'src/decision/grants.ts',
    find: '    if (ungrant !== undefined) return undefined;\n',
    replace: '',
    test: grants('is never given when what takes it away came first'),
  },
  {
    name: 'a grant of one issuer is held by whoever has the id',
    file: 'src/decision/grants.ts',
    find: ' && (record.issuer === undefined || record.issuer === issuer)',
    replace: '',
    test: grants('that names an issuer is nobody else’s'),
  },
  {
    name: 'whoever asks brings the grants',
    file: 'src/flows/check.ts',
    find: '    const facts = { grants, now: epochS(now) };\n',
    replace: '    const facts = { grants, now: epochS(now), ...asserted };\n',
    test: test('flows/facts', 'is Writ’s own fact in the data API'),
  },
  {
    name: 'nobody is told that a grant is gone',
    file: 'src/flows/follow.ts',
    find: '    this.#tellOfGrants();\n',
    replace: '',
    test: test('flows/facts', 'is what policy reads from then on, until it is taken away'),
  },
];

const reloaded = (name: string): Removal['test'] => test('flows/reload', name);
const signature = (name: string): Removal['test'] => test('edges/opa/signature', name);
const bundleUrl = (name: string): Removal['test'] => test('edges/opa/bundle-url', name);

const POLICIES: readonly Removal[] = [
  {
    name: 'a policy that is older than the one that ran last runs',
    file: 'src/flows/reload.ts',
    find: 'if (!allowOlder)',
    replace: 'if (detail === undefined)',
    test: reloaded('refuses what is older than what ran last'),
  },
  {
    name: 'a policy runs before the floor is on disk',
    file: 'src/flows/reload.ts',
    find: ') await moveFloor(',
    replace: ') void moveFloor(',
    test: reloaded('lets nothing run that it could not note'),
  },
  {
    name: 'two reloads run at once',
    file: 'src/flows/reload.ts',
    find: '    if (this.#running === undefined) return this.#start(order);',
    replace: '    if (order !== undefined) return this.#start(order);',
    test: reloaded('runs one at a time'),
  },
  {
    name: 'a bundle without a revision may follow one that has one',
    file: 'src/decision/revision.ts',
    find: '  if (revision === undefined) return `the bundle has',
    replace: '  if (revision === undefined) return undefined; return `the bundle has',
    test: test('decision/revision', 'refuses undefined after 10'),
  },
  {
    name: 'a bundle needs no signature where one is configured',
    file: 'src/edges/opa/prepare.ts',
    find: '  if (options.signing !== undefined) await verifySignature(files, options.signing);\n',
    replace: '',
    test: signature('unsigned, where it must be signed'),
  },
  {
    name: 'a file that was not signed may be in a signed bundle',
    file: 'src/edges/opa/signature.ts',
    find: "    if (entry === undefined) throw invalid(`the bundle's signature does not cover ${shown(name)}`);",
    replace: '    if (entry === undefined) continue;',
    test: signature('with another extra.rego than was signed'),
  },
  {
    name: 'a signed file may be left out of a bundle',
    file: 'src/edges/opa/signature.ts',
    find: '  for (const name of listed.keys()) throw invalid(',
    replace: '  for (const name of listed.keys()) void invalid(',
    test: signature('with another policy.rego than was signed'),
  },
  {
    name: 'a signed file may be changed',
    file: 'src/edges/opa/signature.ts',
    find: 'if (hashOf(name, bytes, entry.algorithm) !== entry.hash)',
    replace: "if (hashOf(name, bytes, entry.algorithm) === '')",
    test: signature('with another policy.wasm than was signed'),
  },
  {
    name: 'a signature of any algorithm is taken',
    file: 'src/edges/opa/signature.ts',
    find: 'compactVerify(token, createPublicKey(pem), { algorithms: [algorithm] })',
    replace: "compactVerify(token, createPublicKey(pem), { algorithms: [algorithm, 'RS256'] })",
    test: signature('signed by another algorithm'),
  },
  {
    name: 'a private key may lie where public ones are wanted',
    file: 'src/edges/opa/signing-keys.ts',
    find: "      if (pem.includes('PRIVATE KEY'))",
    replace: "      if (pem === '')",
    test: signature('are read from their files'),
  },
  {
    name: 'a bundle server may send its clients elsewhere',
    file: 'src/edges/opa/bundle-url.ts',
    find: "redirect: 'error'",
    replace: "redirect: 'follow'",
    test: bundleUrl('is not fetched from where a server points to'),
  },
  {
    name: 'a bundle server may send as much as it likes',
    file: 'src/edges/opa/bundle-url.ts',
    find: '        if (bytes > this.#limits.bundleBytesMax)',
    replace: '        if (bytes < 0)',
    test: bundleUrl('is not read further than a bundle may be long'),
  },
  {
    name: 'a bundle may hold as much data as it likes',
    file: 'src/edges/opa/bundle.ts',
    find: '  if (data.length > dataBytesMax)',
    replace: '  if (data.length < 0)',
    test: test('edges/opa/bundle', 'holds more data than is allowed'),
  },
];

const EVIDENCE: readonly Removal[] = [
  {
    name: 'a receipt is believed because it was made here',
    file: 'src/flows/enforce.ts',
    find: '    this.#assertProves(text);\n',
    replace: '',
    test: test('flows/evidence', 'that would not verify is never written'),
  },
  {
    name: 'a slewed wall clock says when enforced was reached',
    file: 'src/flows/enforce.ts',
    find: 'Math.max(now.wallMs, this.#appended.at.wallMs + waitedMs)',
    replace: 'now.wallMs',
    test: test('flows/evidence', 'by the clock says when it was over though the wall clock was slewed'),
  },
  {
    name: 'an old receipt speaks for whichever revocation it is named after',
    file: 'src/flows/revoke.ts',
    find: 'facts.id !== id || facts.state !== state',
    replace: 'facts.id === undefined',
    test: test('flows/evidence', 'still speaks when its outcome is no longer in memory'),
  },
  {
    name: 'names that the engine misreads are taken',
    file: 'src/kernel/json.ts',
    find: '/["\\\\]/.test(name)',
    replace: 'name === undefined',
    test: test('kernel/json', 'is not misled by names that look alike to the engine'),
  },
];

const grows = (name: string): Removal['test'] => test('flows/snapshot', name);

const GROWTH: readonly Removal[] = [
  {
    name: 'a snapshot is loaded whose digest is another one',
    file: 'src/flows/load.ts',
    find: '!== entry.digest)',
    replace: "=== '')",
    test: grows('is refused when it is altered'),
  },
  {
    name: 'a snapshot is loaded that a stranger has signed',
    file: 'src/flows/load.ts',
    find: 'if (signer === undefined || !isSignedBy(sealed, signer))',
    replace: "if (entry.by === '')",
    test: grows('is refused when it is signed by a stranger'),
  },
  {
    name: 'a snapshot is loaded whose time is ahead of the clock',
    file: 'src/flows/load.ts',
    find: 'if (header.endedBeforeS > epochS(yield))',
    replace: 'if (header.endedBeforeS < epochS(yield) - 1e9)',
    test: grows('is refused when it is ahead of the clock'),
  },
  {
    name: 'the store is trimmed before everybody has said the digest',
    file: 'src/flows/snapshot.ts',
    find: "if (own.step === 'trim' && this.#isConfirmed(mark, digest))",
    replace: "if (own.step === 'trim' && (this.#isConfirmed(mark, digest) || true))",
    test: grows('trims nothing while a replica that may hold a lease has not said the digest'),
  },
  {
    name: 'what has not ended leaves at a mark from a clock that is ahead',
    file: 'src/flows/snapshot.ts',
    find: 'if (entry.endedBeforeS > epochS(yield))',
    replace: 'if (entry.endedBeforeS > epochS(yield) + 1e6)',
    test: grows('passes over a mark that is ahead of its clock, and trims nothing by it'),
  },
  {
    name: 'what has ended leaves between two marks, on one replica and not on the other',
    file: 'src/flows/snapshot.ts',
    find: 'return this.#ports.every === undefined ? nowS : 0;',
    replace: 'return nowS;',
    test: grows('lets nothing leave by the clock between two marks, where replicas compare'),
  },
  {
    name: 'an epoch is followed by whoever lacks what came before it',
    file: 'src/feed/cursor.ts',
    find: 'if (base === undefined) return true;',
    replace: 'if (base === undefined || at.opening === undefined) return true;',
    test: test('feed/cursor', 'does not follow an epoch that goes on from one'),
  },
  {
    name: 'a snapshot is loaded whose epoch a stranger has opened',
    file: 'src/flows/load.ts',
    find: 'entry: epoch }, identity.logKey.public))',
    replace: 'entry: epoch }, signer) && epoch.sig === "")',
    test: grows('is refused when it is of an epoch that a stranger has opened'),
  },
  {
    name: 'who begins at a snapshot owes the orders in it nothing',
    file: 'src/flows/follow.ts',
    find: '      yield* this.#kill([applied]);\n',
    replace: '',
    test: test('flows/snapshot-sessions', 'has each counted under every order that names it'),
  },
  {
    name: 'who begins at a snapshot owes the locks in it nothing',
    file: 'src/flows/follow.ts',
    find: 'if (!isOwnDisk) yield* this.#kill(locked);',
    replace: '',
    test: test('flows/snapshot-sessions', 'has it counted under a lock'),
  },
  {
    name: 'a restart on a snapshot ends every session',
    file: 'src/flows/follow.ts',
    find: 'if (ledger !== undefined) sessions.killWhere(',
    replace: "if (position !== '') sessions.killWhere(",
    test: test('flows/snapshot-sessions', 'ends no session within a lease'),
  },
  {
    name: 'a restart on a snapshot ends sessions by a lock in it that was lifted since',
    file: 'src/flows/follow.ts',
    find: 'if (!isOwnDisk) yield* this.#kill(locked);',
    replace: 'yield* this.#kill(locked);',
    test: test('flows/snapshot-sessions', 'ends who is dead by what was enforced'),
  },
  {
    name: 'a holder of an earlier run is over with a lease of this one',
    file: 'src/session/registry.ts',
    find: 'selfEnding: selfEnding - longer.size,',
    replace: 'selfEnding,',
    test: test('flows/silent', 'was not over before its holder'),
  },
];

/** What keeps `enforced` true where another Redis may take over. */
const FAILOVER: readonly Removal[] = [
  {
    name: 'a master that was replaced is not waited for',
    file: 'src/feed/lease.ts',
    find: ' + (term.splitMs ?? 0)',
    replace: '',
    test: test('flows/barrier', 'waits longer, by every rule'),
  },
  {
    name: 'a master may go on with a minority of the servers',
    file: 'src/edges/redis/server-facts.ts',
    find: 'Math.ceil(replicas / 2)',
    replace: '1',
    test: test('edges/redis/failover', 'must lose its writes'),
  },
  {
    name: 'a master that may not write is read from',
    file: 'src/edges/redis/functions.lua',
    find: "redis.register_function('writ1_roster', tagged(roster))",
    replace:
      "redis.register_function{ function_name = 'writ1_roster', callback = tagged(roster), flags = { 'no-writes' } }",
    test: test('edges/redis/failover', 'is read nothing out of'),
  },
  {
    name: 'a server is judged once, whatever takes its place',
    file: 'src/edges/redis/redis-feed-store.ts',
    find: '    if (lifetime !== this.#judged) await this.#examineAgain(lifetime);\n',
    replace: '',
    test: test('edges/redis/failover', 'is judged again'),
  },
  {
    name: 'functions of another build are called',
    file: 'src/edges/redis/functions.ts',
    find: "=== text ? 'equal' : 'other'",
    replace: "=== text ? 'equal' : 'equal'",
    test: test('edges/redis/server-facts', 'with the functions of another build'),
  },
];

const FORGETTING: readonly Removal[] = [
  {
    name: 'forgets in the store who has renewed since it was looked at',
    file: 'src/feed/lease-table.ts',
    find: ' || renewed !== renewals) return false;',
    replace: ') return false;',
    test: test('contract/memory-feed-store', 'leaves who has renewed meanwhile its lease'),
  },
  {
    name: 'grants a lease to who was forgotten, until the entry is written',
    file: 'src/feed/lease-table.ts',
    find: '    this.#isGone.set(incarnation, true);\n    return true;',
    replace: '    return true;',
    test: test('feed/lease-table', 'is given nothing from the moment on in which it is retired'),
  },
  {
    name: 'counts silence that it could not have heard through',
    file: 'src/flows/forget.ts',
    find: '    if (!this.#isListening(now)) this.#silent = new Map();\n',
    replace: '',
    test: test('flows/forget', 'silence that nobody could hear does not count'),
  },
  {
    name: 'forgets on a word who may hold a lease',
    file: 'src/flows/forget.ts',
    find: '    if (leftMs > 0) return `its lease may be good for ${Math.ceil(leftMs)} ms yet`;\n',
    replace: '',
    test: test('flows/forget', 'forgets at once whose lease is surely over'),
  },
  {
    name: 'forgets without a lease of its own',
    file: 'src/flows/forget.ts',
    find: 'if (!lease.isFresh(clock.now()))',
    replace: 'if (clock === undefined)',
    test: test('flows/forget', 'asks one that has a lease'),
  },
  {
    name: 'calls others fenced by readings that are old',
    file: 'src/flows/survey.ts',
    find: ' || now.monoMs - readAt.monoMs > term.leaseMs / 2)',
    replace: ')',
    test: test('flows/survey', 'is unknown to who has no reading of its own'),
  },
  {
    name: 'reckons for ever with who was forgotten',
    file: 'src/flows/barrier.ts',
    find: "if (state !== 'left' && state !== 'forgotten') continue;",
    replace: 'if (state !== undefined) continue;',
    test: test('flows/barrier', 'lets go of who left, or was forgotten'),
  },
  {
    name: 'takes credentials for longer than the fleet keeps revocations',
    file: 'src/flows/renew.ts',
    find: 'if (credentialLifeMaxMs > keptMs) {',
    replace: 'if (credentialLifeMaxMs < 0) {',
    test: test('flows/lives', 'holds no lease, says why, and holds nobody up'),
  },
  {
    name: 'keeps revocations in the next epoch by the configuration of whoever opens it',
    file: 'src/flows/join.ts',
    find: "return rule === 'witness' || rule === 'roster' ? kept : Math.max(kept, credentialLifeMaxMs);",
    replace: 'return kept > 0 && rule.length > 0 ? credentialLifeMaxMs : kept;',
    test: test('flows/lives', 'revocations are kept for as long as before in the epochs'),
  },
  {
    name: 'counts the end of a revocation by how tolerant of clocks this replica is',
    file: 'src/revocation/selector.ts',
    find: 'const clockSkewS = LIMITS.clockSkewMs / 1000;',
    replace: 'const { clockSkewS } = context;',
    test: test('revocation/selector', 'long ago leaves the entry in force'),
  },
  {
    name: 'counts the end of a revocation by the lives that this replica takes',
    file: 'src/compose.ts',
    find: 'credentialLifeMaxS: cursor.credentialLifeMaxMs(credentialLifeMaxMs) / 1000,',
    replace: 'credentialLifeMaxS: credentialLifeMaxMs / 1000,',
    test: test('scenes/fleet-lives', 'what is revoked is kept for as long as any replica'),
  },
  {
    name: 'takes the lease of every replica to be as long as its own',
    file: 'src/flows/barrier.ts',
    find: '.reduce((longest, { term }) => longer(longest, term), this.#term);',
    replace: '.reduce((longest) => longest, this.#term);',
    test: test('flows/terms', 'nothing is permitted after `enforced` by a replica with a longer lease'),
  },
  {
    name: 'takes who joined later, with a longer lease, for over by the term of who was there before',
    file: 'src/flows/barrier.ts',
    find: 'const overMs = leaseOverMs(longer(question.term, this.longest(now)));',
    replace: 'const overMs = leaseOverMs(question.term);',
    test: test('flows/barrier', 'takes nobody for over who joined after the entry'),
  },
  {
    name: 'forgets a replica while its lease is good, because its own would be over',
    file: 'src/flows/forget.ts',
    find: 'Math.max(rosterForgetMs, overMs)',
    replace: 'rosterForgetMs',
    test: test('flows/terms', 'nobody is forgotten, by itself or on an order'),
  },
  {
    name: 'forgets with a replica the sessions that it never saw end',
    file: 'src/flows/barrier.ts',
    find: 'if (!isOwing) this.#rows.delete(incarnation);',
    replace: 'if (isOwing !== undefined) this.#rows.delete(incarnation);',
    test: test('flows/silent', 'keeps it partial once its replica is forgotten'),
  },
  {
    name: 'forgets in the next epoch who owes the end of a session',
    file: 'src/flows/enforce.ts',
    find: '.filter((incarnation) => !isHeard(incarnation))',
    replace: '.filter((incarnation) => isHeard(incarnation))',
    test: test('flows/silent', 'keeps it partial once its replica is forgotten'),
  },
  {
    name: 'writes down who owes once, and nobody who is found to owe later',
    file: 'src/flows/enforce.ts',
    find: 'return owing.length > 0 && owing.every((incarnation) => named.has(incarnation));',
    replace: 'return owing.length > 0 && named.size > 0;',
    test: test('flows/owed', 'is written down again where somebody more owes'),
  },
  {
    name: 'seals what nobody can read',
    file: 'src/feed/entry.ts',
    find: "if (!('targets' in entry) && !schema.safeParse(sealed.entry).success)",
    replace: "if ('targets' in entry && !schema.safeParse(sealed.entry).success)",
    test: test('feed/entry', 'is not sealed where nobody could read it'),
  },
  {
    name: 'says goodbye while sessions go on',
    file: 'src/flows/replica.ts',
    find: 'if (sessions.hasUnproven) {',
    replace: "if (sessions.hasUnproven && renewer.state === 'closed') {",
    test: test('flows/silent', 'does not, while its lease is good'),
  },
  {
    name: 'says goodbye for another process of the same incarnation',
    file: 'src/flows/replica.ts',
    find: ' || renewer.isCloned) return;',
    replace: ') return;',
    test: test('flows/silent', 'does not for another process'),
  },
  {
    name: 'counts a session by the word of who is gone beside that of who goes on with it',
    file: 'src/flows/enforce.ts',
    find: 'if (standing.isQuiet && isSpokenFor)',
    replace: 'if (standing.isQuiet && isSpokenFor && all.length === 0)',
    test: test('flows/silent', 'is counted once'),
  },
  {
    name: 'whoever is asked about an order proves it before the one that took it',
    file: 'src/flows/enforce.ts',
    find: '    if (this.#isTakersTurn(answer.standings, now)) return;\n',
    replace: '',
    test: test('flows/two-coordinators', 'is proven by the one that took it'),
  },
  {
    name: 'waits for the turn of who never comes to it',
    file: 'src/flows/enforce.ts',
    find: 'return isThere && now.monoMs - this.#readyAtMs < leaseOverMs(this.#longest());',
    replace: 'return isThere;',
    test: test('flows/two-coordinators', 'is proven by the other where the one that took it does not'),
  },
  {
    name: 'makes a receipt of acknowledgements that speak of the order no longer',
    file: 'src/flows/enforce.ts',
    find: '    if (this.isProvenElsewhere) return true;\n',
    replace: '',
    test: test('flows/two-coordinators', 'is proven by the one that took it'),
  },
  {
    name: 'tries for ever to prove what another replica has proven',
    file: 'src/flows/revoke.ts',
    find: 'if (this.#followed.get(id)?.enforcing.isProvenElsewhere) this.#followed.delete(id);',
    replace: '',
    test: test('flows/two-coordinators', 'is partial on both'),
  },
  {
    name: 'an order whose line was let go is enforced by nobody',
    file: 'src/flows/enforce.ts',
    find: '    if (this.#isTrimmed(last)) return this.#lookOnce();\n',
    replace: '',
    test: test('flows/two-coordinators', 'is enforced by the end of the history'),
  },
  {
    name: 'an order whose line was let go is enforced whatever the history has become',
    file: 'src/flows/enforce.ts',
    find: 'if (line === undefined || line.chain !== chain) return false;',
    replace: 'if (!this.#isLineGone && line?.chain !== chain) return false;',
    test: test('flows/two-coordinators', 'is not, where that end'),
  },
  {
    name: 'goes back to an epoch that was left, on the word of the store',
    file: 'src/flows/load.ts',
    find: '    if (isOther && cursor.knows(opening.epochId)) return false;\n',
    replace: '',
    test: test('flows/trimmed', 'takes nobody back who has left that epoch'),
  },
  {
    name: 'begins at a snapshot of an epoch that was open in another run of the store',
    file: 'src/flows/load.ts',
    find: '      await this.#assertOfThisRun(header, epochId);\n',
    replace: '',
    test: test('flows/trimmed', 'nor anybody who came after it'),
  },
  {
    name: 'says nothing of the sessions of who was in the epoch before and is not in this one',
    file: 'src/flows/enforce.ts',
    find: 'return [...gone, ...absent].some(',
    replace: 'return gone.some(',
    test: test('flows/silent', 'is told of by a receipt, until somebody goes on with its data'),
  },
  {
    name: 'calls gone who has only just joined',
    file: 'src/feed/members.ts',
    find: ' && this.#earlierKeys.has(member.key.x)) yield member;',
    replace: ') yield member;',
    test: test('flows/silent', 'is another thing than one that has only just joined'),
  },
];

export const REMOVALS: readonly Removal[] = [
  ...SPELLING,
  ...HEADER,
  ...KEYS,
  ...CLAIMS,
  ...HANDLES,
  ...BINDING,
  ...PRESENTED,
  ...APPLYING,
  ...EVIDENCE,
  ...MEMO,
  ...BATCH,
  ...TELEMETRY,
  ...SESSIONS,
  ...FACTS,
  ...GROWTH,
  ...FORGETTING,
  {
    name: 'shows what the configuration file took from the environment',
    file: 'src/config/shown.ts',
    find: '  if (spelt !== undefined) return spelt;\n',
    replace: '',
    test: test('config/shown', 'never holds what a file took from the environment'),
  },
  {
    name: 'shows the query of a URL of the configuration, where keys like to stand',
    file: 'src/config/shown.ts',
    find: '.replace(/[?#].*$/s, `?${REDACTED}`)',
    replace: '',
    test: test('config/shown', 'shows no query of a URL'),
  },
  ...POLICIES,
  ...FAILOVER,
];
