-- v0 -> v1: Latest revision

-- Types and statements are those that SQLite and PostgreSQL have in common: no
-- STRICT, no WITHOUT ROWID, no identity columns. Times are milliseconds since
-- 1970 in UTC, or NULL where there may be none. Columns named secret, and
-- mimi_room_row.value where is_secret says so, hold sealed values (see seal.go);
-- they are NULL where there is no secret. URIs are compared octet by octet:
-- a PostgreSQL database needs the collation C.

-- The key-encryption keys that rows are sealed with, by id. proof is a sealed
-- constant: it tells at start whether the right key is at hand.
CREATE TABLE mimi_key (
	id    TEXT  NOT NULL PRIMARY KEY,
	proof bytea NOT NULL
);

-- Sequence numbers. A row that is updated in the transaction which uses the
-- number keeps numbers in the order of commits, and never gives one twice.
CREATE TABLE mimi_sequence (
	name TEXT   NOT NULL PRIMARY KEY,
	last BIGINT NOT NULL
);

-- The rooms that this provider hosts (package hub). A closed room stays, so
-- that its name is not used again.
CREATE TABLE mimi_hub_room (
	room    TEXT    NOT NULL PRIMARY KEY,
	version BIGINT  NOT NULL,
	closed  BOOLEAN NOT NULL DEFAULT false
);

CREATE TABLE mimi_hub_row (
	room  TEXT  NOT NULL REFERENCES mimi_hub_room (room) ON DELETE CASCADE,
	key   TEXT  NOT NULL,
	value bytea NOT NULL,
	PRIMARY KEY (room, key)
);

CREATE TABLE mimi_hub_answer (
	room     TEXT   NOT NULL REFERENCES mimi_hub_room (room) ON DELETE CASCADE,
	request  bytea  NOT NULL,
	answer   bytea,
	accepted BIGINT NOT NULL,
	PRIMARY KEY (room, request)
);
CREATE INDEX mimi_hub_answer_accepted_idx ON mimi_hub_answer (accepted);

CREATE TABLE mimi_hub_delivery (
	seq    BIGINT NOT NULL PRIMARY KEY,
	room   TEXT   NOT NULL REFERENCES mimi_hub_room (room) ON DELETE CASCADE,
	domain TEXT   NOT NULL,
	body   bytea
);
CREATE INDEX mimi_hub_delivery_lane_idx ON mimi_hub_delivery (room, domain, seq);

-- The provider's own keys, by name.
CREATE TABLE mimi_secret (
	name   TEXT NOT NULL PRIMARY KEY,
	secret bytea
);

-- The local users as MIMI clients (package client), and what they know. active is
-- the hour in which the user was last seen to send or to be sent something: no more
-- is kept of it.
CREATE TABLE mimi_account (
	user_uri   TEXT NOT NULL PRIMARY KEY,
	client_uri TEXT NOT NULL,
	name       TEXT NOT NULL,
	active     BIGINT NOT NULL DEFAULT 0,
	secret     bytea
);
CREATE INDEX mimi_account_active_idx ON mimi_account (active);

-- Accounts that are being deleted, and (done) those that were: their users are not
-- reached before they log in again.
CREATE TABLE mimi_closure (
	account TEXT    NOT NULL PRIMARY KEY,
	since   BIGINT  NOT NULL,
	rooms   BIGINT  NOT NULL,
	told    BIGINT  NOT NULL,
	done    BOOLEAN NOT NULL
);
CREATE INDEX mimi_closure_waiting_idx ON mimi_closure (account) WHERE NOT done;

CREATE TABLE mimi_contact (
	id      TEXT     NOT NULL PRIMARY KEY,
	account TEXT     NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	peer    TEXT     NOT NULL,
	state   SMALLINT NOT NULL,
	room    TEXT     NOT NULL,
	name    TEXT     NOT NULL,
	changed BIGINT   NOT NULL,
	secret  bytea,
	UNIQUE (account, peer)
);

CREATE TABLE mimi_request (
	ref      bytea  NOT NULL PRIMARY KEY,
	account  TEXT   NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	peer     TEXT   NOT NULL,
	received BIGINT NOT NULL,
	secret   bytea
);
CREATE INDEX mimi_request_account_idx ON mimi_request (account, received, ref);

-- Who may add whom to plain rooms, and who wants to, beside those who are connected.
CREATE TABLE mimi_consent (
	ref     bytea    NOT NULL PRIMARY KEY,
	account TEXT     NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	peer    TEXT     NOT NULL,
	room    TEXT     NOT NULL,
	side    SMALLINT NOT NULL,
	state   SMALLINT NOT NULL,
	changed BIGINT   NOT NULL,
	untold  BOOLEAN  NOT NULL
);
CREATE INDEX mimi_consent_account_idx ON mimi_consent (account, changed, ref);
CREATE INDEX mimi_consent_waiting_idx ON mimi_consent (account, changed, ref) WHERE untold;

-- The rooms that local users are, or were, in.
CREATE TABLE mimi_room (
	room     TEXT     NOT NULL PRIMARY KEY,
	kind     SMALLINT NOT NULL,
	creator  TEXT     NOT NULL,
	has_left BOOLEAN  NOT NULL,
	secret   bytea
);

CREATE TABLE mimi_room_row (
	room      TEXT    NOT NULL REFERENCES mimi_room (room) ON DELETE CASCADE,
	key       TEXT    NOT NULL,
	value     bytea   NOT NULL,
	is_secret BOOLEAN NOT NULL,
	PRIMARY KEY (room, key)
);

CREATE TABLE mimi_leaf (
	room       TEXT     NOT NULL REFERENCES mimi_room (room) ON DELETE CASCADE,
	account    TEXT     NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	leaf_index BIGINT   NOT NULL,
	state      SMALLINT NOT NULL,
	added_by   TEXT     NOT NULL,
	PRIMARY KEY (room, account)
);
CREATE INDEX mimi_leaf_index_idx ON mimi_leaf (room, leaf_index, account);
CREATE INDEX mimi_leaf_account_idx ON mimi_leaf (account, room);

CREATE TABLE mimi_member (
	room             TEXT   NOT NULL REFERENCES mimi_room (room) ON DELETE CASCADE,
	leaf_index       BIGINT NOT NULL,
	user_pseudonym   TEXT   NOT NULL,
	client_pseudonym TEXT   NOT NULL,
	user_uri         TEXT   NOT NULL,
	client_uri       TEXT   NOT NULL,
	not_after        BIGINT NOT NULL,
	committed_by     BIGINT NOT NULL,
	PRIMARY KEY (room, leaf_index)
);
CREATE INDEX mimi_member_user_idx ON mimi_member (user_pseudonym);
CREATE INDEX mimi_member_client_idx ON mimi_member (client_pseudonym);

-- Pseudonyms of rooms that an account, or who had the pseudonym, has left. pseudonym and
-- room are hashes under a key of mimi_secret.
CREATE TABLE mimi_former_pseudonym (
	account   TEXT   NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	pseudonym bytea  NOT NULL,
	room      bytea  NOT NULL,
	since     BIGINT NOT NULL,
	PRIMARY KEY (pseudonym, account, room)
);
CREATE INDEX mimi_former_pseudonym_account_idx ON mimi_former_pseudonym (account, since, pseudonym, room);
CREATE INDEX mimi_former_pseudonym_since_idx ON mimi_former_pseudonym (since);

-- Messages to the hubs. accepted is NULL until they are.
CREATE TABLE mimi_outgoing (
	room       TEXT   NOT NULL REFERENCES mimi_room (room) ON DELETE CASCADE,
	source     TEXT   NOT NULL,
	seq        BIGINT NOT NULL UNIQUE,
	account    TEXT   NOT NULL REFERENCES mimi_account (user_uri) ON DELETE CASCADE,
	message_id bytea,
	body       bytea,
	epoch      BIGINT NOT NULL,
	accepted   BIGINT,
	secret     bytea,
	PRIMARY KEY (room, source)
);
CREATE INDEX mimi_outgoing_waiting_idx ON mimi_outgoing (seq) WHERE accepted IS NULL;
CREATE INDEX mimi_outgoing_accepted_idx ON mimi_outgoing (accepted) WHERE accepted IS NOT NULL;
CREATE INDEX mimi_outgoing_account_idx ON mimi_outgoing (account);

-- Requests from the hubs. A request that has been processed keeps its hash
-- alone: room and body are NULL.
CREATE TABLE mimi_incoming (
	seq         BIGINT NOT NULL PRIMARY KEY,
	room        TEXT,
	from_domain TEXT   NOT NULL,
	hash        bytea  NOT NULL,
	received    BIGINT NOT NULL,
	body        bytea,
	UNIQUE (from_domain, hash)
);
CREATE INDEX mimi_incoming_room_idx ON mimi_incoming (room, seq) WHERE room IS NOT NULL;
CREATE INDEX mimi_incoming_done_idx ON mimi_incoming (received) WHERE room IS NULL;

-- What the Matrix side has still to be told.
CREATE TABLE mimi_event (
	seq    BIGINT NOT NULL PRIMARY KEY,
	lane   TEXT   NOT NULL,
	secret bytea
);
CREATE INDEX mimi_event_lane_idx ON mimi_event (lane, seq);

-- The identity CAs of other providers (package identity). candidate and seen
-- are NULL while a provider publishes the one that is pinned.
CREATE TABLE mimi_pin (
	domain    TEXT   NOT NULL PRIMARY KEY,
	version   BIGINT NOT NULL,
	pem       bytea,
	pinned    BIGINT NOT NULL,
	candidate bytea,
	seen      BIGINT
);
CREATE INDEX mimi_pin_waiting_idx ON mimi_pin (domain) WHERE candidate IS NOT NULL;

-- The establishment packages of local users (package connection), and the
-- requests that have come for them.
CREATE TABLE mimi_package (
	ref         bytea    NOT NULL PRIMARY KEY,
	user_uri    TEXT     NOT NULL,
	suite       INTEGER  NOT NULL,
	last_resort BOOLEAN  NOT NULL,
	not_after   BIGINT   NOT NULL,
	package     bytea,
	secret      bytea,
	used        BOOLEAN  NOT NULL,
	handed_out  BOOLEAN  NOT NULL DEFAULT false
);
CREATE INDEX mimi_package_user_idx ON mimi_package (user_uri, suite, last_resort, not_after, ref);
CREATE INDEX mimi_package_not_after_idx ON mimi_package (not_after);

CREATE TABLE mimi_request_seen (
	hash  bytea  NOT NULL PRIMARY KEY,
	until BIGINT NOT NULL
);
CREATE INDEX mimi_request_seen_until_idx ON mimi_request_seen (until);

-- The KeyPackages that this provider hands out (package keymaterial), and their
-- private parts. No column of these tables names an account, and none refers to
-- a table that does. reused is the same in all rows of a set.
CREATE TABLE mimi_key_package (
	token       bytea   NOT NULL,
	set_uri     TEXT    NOT NULL,
	slot        BIGINT  NOT NULL,
	suite       INTEGER NOT NULL,
	key_package bytea,
	last_resort BOOLEAN NOT NULL,
	not_after   BIGINT  NOT NULL,
	reused      BIGINT  NOT NULL DEFAULT 0,
	PRIMARY KEY (token, set_uri, slot)
);
CREATE INDEX mimi_key_package_kind_idx ON mimi_key_package (token, suite, last_resort, set_uri);
CREATE INDEX mimi_key_package_not_after_idx ON mimi_key_package (not_after);

-- Who may change the KeyPackages under a token; see keymaterial.Registration.
CREATE TABLE mimi_key_token (
	token        bytea NOT NULL PRIMARY KEY,
	registration bytea NOT NULL
);

CREATE TABLE mimi_key_private (
	ref       bytea  NOT NULL PRIMARY KEY,
	not_after BIGINT NOT NULL,
	secret    bytea
);
CREATE INDEX mimi_key_private_not_after_idx ON mimi_key_private (not_after);

-- How many upload tokens an account was given on a day (counted from 1970), and
-- those that it has not spent. Nothing joins a token that was spent to a row here.
CREATE TABLE mimi_allowance (
	account TEXT   NOT NULL PRIMARY KEY,
	day     BIGINT NOT NULL DEFAULT 0,
	issued  BIGINT NOT NULL DEFAULT 0,
	secret  bytea
);

CREATE TABLE mimi_nonce (
	hash  bytea  NOT NULL PRIMARY KEY,
	until BIGINT NOT NULL
);
CREATE INDEX mimi_nonce_until_idx ON mimi_nonce (until);

CREATE TABLE mimi_pseudonym (
	pseudonym TEXT   NOT NULL PRIMARY KEY,
	times     BIGINT NOT NULL,
	until     BIGINT NOT NULL
);
CREATE INDEX mimi_pseudonym_until_idx ON mimi_pseudonym (until);

-- What the homeserver has told us: transactions, and their events while these
-- are not handled.
CREATE TABLE mimi_intake_transaction (
	id  TEXT   NOT NULL PRIMARY KEY,
	seq BIGINT NOT NULL UNIQUE
);

CREATE TABLE mimi_intake_entry (
	seq    BIGINT NOT NULL PRIMARY KEY,
	secret bytea
);

-- What the Matrix side knows of people and messages beside bridgev2's own
-- tables (package bridge). A ghost belongs to a person, whose address is
-- user_uri, or, while that is not known, to a pseudonym in one room. room is
-- empty for a person.
CREATE TABLE mimi_ghost (
	id       TEXT NOT NULL PRIMARY KEY,
	room     TEXT NOT NULL,
	user_uri TEXT NOT NULL,
	UNIQUE (user_uri, room)
);

-- The Matrix rooms in which people are asked for a connection.
CREATE TABLE mimi_request_room (
	ref     bytea NOT NULL PRIMARY KEY,
	account TEXT  NOT NULL,
	peer    TEXT  NOT NULL,
	mxid    TEXT  NOT NULL UNIQUE
);

-- Messages that stand for another one: the later versions of a message, and
-- reactions to it. reaction is empty for a version.
CREATE TABLE mimi_revision (
	room     TEXT  NOT NULL,
	id       bytea NOT NULL,
	first    bytea NOT NULL,
	reaction TEXT  NOT NULL,
	PRIMARY KEY (room, id)
);
CREATE INDEX mimi_request_room_account_idx ON mimi_request_room (account, peer, ref);
