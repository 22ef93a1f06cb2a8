// Uses the client that openapi-typescript and openapi-fetch make of docs/openapi.json, against a running service.
import createClient from 'openapi-fetch'
import type { paths } from './api.gen.js'

const { STAYKEY_URL, STAYKEY_TOKEN } = process.env
const client = createClient<paths>({
  baseUrl: STAYKEY_URL!, querySerializer: { array: { style: 'form', explode: false } }, // several values, separated by commas
  headers: { Authorization: `Bearer ${STAYKEY_TOKEN}` } })

const list = await client.GET('/v1/reservations', { params: { query: { key_status: ['waiting', 'issued'], sort: 'check_in' } } })
if (!list.data) throw new Error(list.error.detail)
const first = list.data.items[0]
if (!first) throw new Error('no reservation')
const path = { source: first.source, reservation_id: first.reservation_id }

const held = await client.POST('/v1/reservations/{source}/{reservation_id}/hold', {
  params: { path, header: {} }, body: { reason: 'a generated client' },
})
if (!held.data || held.response.status !== 202) throw new Error(held.error?.detail)

const missing = await client.GET('/v1/reservations/{source}/{reservation_id}', { params: { path: { ...path, reservation_id: 'no such/Ä' } } })
if (missing.error?.code !== 'not_found') throw new Error('a missing reservation is no problem with a code')

const email: string | null = first.guest_email
console.log('reservation', first.reservation_id, first.mobile_key.status, email === null ? 'without an address' : 'with an address')
