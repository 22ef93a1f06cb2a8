// Verifies messages with the official libraries of Standard Webhooks and Svix. Standard input: one JSON object a line, with secret, headers and body.
// Each library must accept each message, and refuse it with its body or its secret changed. Exit status 1 and the reason otherwise.
import { createInterface } from 'node:readline'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'

const other = 'whsec_' + Buffer.from('another secret of 24 byte').toString('base64')
let messages = 0
for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line)
  for (const Webhook of [StandardWebhook, SvixWebhook]) {
    new Webhook(secret).verify(body, headers)
    for (const [key, text] of [[secret, body + ' '], [other, body]]) {
      let refused = false
      try { new Webhook(key).verify(text, headers) } catch { refused = true }
      if (!refused) throw new Error('a message that was changed is accepted')
    }
  }
  messages++
}
console.log(`${messages} messages verified`)
