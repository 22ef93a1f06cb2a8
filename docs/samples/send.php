<?php
// Posts a reservation to staykey. PHP 8, without other packages (the package standard-webhooks/standard-webhooks signs, too).
$body = json_encode([
    'type' => 'reservation.created', 'timestamp' => gmdate('Y-m-d\TH:i:s\Z'),
    'data' => [
        'reservation_id' => '3333122-433', 'listing_id' => '2222222-2222', 'guest_email' => 'jane@example.com', 'guest_name' => 'Jané Doe',
        'check_in' => '2030-11-01T15:00:00Z', 'check_out' => '2030-11-04T11:00:00Z',
    ],
], JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
$id = bin2hex(random_bytes(16)); // the same one when you send this event again
$timestamp = time();
$key = base64_decode(preg_replace('/^whsec_/', '', getenv('STAYKEY_WEBHOOK_SECRET')));
$signature = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
$answer = file_get_contents(getenv('STAYKEY_WEBHOOK_URL'), false, stream_context_create(['http' => [
    'method' => 'POST', 'content' => $body, 'ignore_errors' => true,
    'header' => "Content-Type: application/json\r\nwebhook-id: $id\r\nwebhook-timestamp: $timestamp\r\nwebhook-signature: v1,$signature",
]]));
$status = (int) explode(' ', $http_response_header[0])[1];
echo "$status $answer\n";
exit($status < 300 ? 0 : 1);
