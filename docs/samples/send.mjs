// Posts a reservation to staykey. Node 18 or newer; npm install standardwebhooks
import { randomUUID } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

const body = JSON.stringify({
  type: 'reservation.created', timestamp: new Date().toISOString(),
  data: {
    reservation_id: '3333122-433', listing_id: '2222222-2222', guest_email: 'jane@example.com', guest_name: 'Jané Doe',
    check_in: '2030-11-01T15:00:00Z', check_out: '2030-11-04T11:00:00Z',
  },
})
const id = randomUUID() // the same one when you send this event again
const now = new Date()
const answer = await fetch(process.env.STAYKEY_WEBHOOK_URL, {
  method: 'POST', body,
  headers: {
    'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': String(Math.floor(now / 1000)),
    'webhook-signature': new Webhook(process.env.STAYKEY_WEBHOOK_SECRET).sign(id, now, body),
  },
})
console.log(answer.status, await answer.text())
process.exit(answer.ok ? 0 : 1)
