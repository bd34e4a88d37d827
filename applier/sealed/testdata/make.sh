#!/bin/sh
# Makes foreign.jsonl again: payload.json encrypted by openssl and by Node's crypto,
# a body a line.
set -eu
cd "$(dirname "$0")"
AES_KEY='k3y-Of_32.Printable~ASCII!chars#'
export AES_KEY
KEY=$(printf %s "$AES_KEY" | od -An -v -tx1 | tr -d ' \n')
IV=000102030405060708090a0b0c0d0eff
hex() { od -An -v -tx1 | tr -d ' \n'; }
url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
iv() { printf '\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\377'; }
cbc() { openssl enc -aes-256-cbc -K "$KEY" -iv "$IV" -in payload.json; }
both() { iv; cbc; }
line() { node -e '
const [mode, by] = process.argv.slice(1)
console.log(JSON.stringify({mode, by, body: require("fs").readFileSync(0, "latin1")}))' "$1" "$2"; }
{
	both | hex | line cbc 'openssl hex'
	both | hex | tr a-f A-F | line cbc 'openssl hex in capitals'
	both | openssl base64 -A | line cbc 'openssl base64'
	both | openssl base64 | line cbc 'openssl base64 with line breaks'
	both | openssl base64 -A | tr -d '=' | line cbc 'openssl base64 without padding'
	both | url | line cbc 'openssl base64url'
	printf '{"iv":"%s","data":"%s"}' "$IV" "$(cbc | hex)" | line cbc 'openssl json in hex'
	printf '{"iv":"%s","data":"%s"}' "$(iv | openssl base64 -A)" "$(cbc | openssl base64 -A)" | line cbc 'openssl json in base64'
	printf '{"nonce":"%s","ciphertext":"%s"}' "$IV" "$(cbc | url)" | line cbc 'openssl json with other names, hex and base64url'
	printf '{"iv":"%s","data":"%s","tag":""}' "$IV" \
		"$(openssl enc -aes-256-cbc -K "$KEY" -iv "$IV" -in payload.json -a | sed 's/$/\\n/' | tr -d '\n')" |
		line cbc 'openssl -a with its line breaks in json, and an empty tag'
	node -e '
const crypto = require("crypto"), fs = require("fs")
const payload = fs.readFileSync("payload.json"), key = process.env.AES_KEY
const line = (mode, by, body) => console.log(JSON.stringify({mode, by, body}))
const unpadded = s => s.replaceAll("=", "")
const iv = Buffer.from("000102030405060708090aff", "hex")
const gcm = crypto.createCipheriv("aes-256-gcm", key, iv)
const data = Buffer.concat([gcm.update(payload), gcm.final()]), tag = gcm.getAuthTag()
const all = Buffer.concat([iv, data, tag]), sealed = Buffer.concat([data, tag])
for (const e of ["hex", "base64", "base64url"]) {
  line("gcm", "node " + e, all.toString(e))
  line("gcm", "node json in " + e, JSON.stringify({iv: iv.toString(e), data: sealed.toString(e)}))
  line("gcm", "node json with the tag apart in " + e, JSON.stringify({iv: iv.toString(e), data: data.toString(e), tag: tag.toString(e)}))
}
line("gcm", "node base64 without padding", unpadded(all.toString("base64")))
line("gcm", "node base64 between line breaks", "\r\n" + all.toString("base64").replace(/.{76}/g, "$&\r\n") + "\r\n")
line("gcm", "node json string", JSON.stringify(all.toString("base64")))
line("gcm", "node json with other names", JSON.stringify({alg: "A256GCM", nonce: iv.toString("hex"), ciphertext: data.toString("base64"), tag: tag.toString("base64url")}, null, 2))
const cbc = crypto.createCipheriv("aes-256-cbc", key, Buffer.from("000102030405060708090a0b0c0d0eff", "hex"))
const cbcData = Buffer.concat([cbc.update(payload), cbc.final()])
line("cbc", "node json", JSON.stringify({iv: "AAECAwQFBgcICQoLDA0O/w==", data: cbcData.toString("base64")}))
line("cbc", "node json string", JSON.stringify("000102030405060708090a0b0c0d0eff" + cbcData.toString("hex")))
'
} >foreign.jsonl
