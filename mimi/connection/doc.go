// Package connection lets two people agree to know each other
// (docs/mmr-profile.md, section 4; draft-kohbrok-mimi-metadata-minimalization-01,
// section "Connections").
//
//	requester                       responder's provider        responder
//	    |                                   |<-- [NewPackage] ------|
//	    |--- who? ------------------------->|                       |
//	    |<-- ConnectionEstablishmentPackage-|                       |
//	    | [ConnectionEstablishmentPackage.Verify]                   |
//	    | creates the connection room       |                       |
//	    | [NewRequest]                      |                       |
//	    |--- EncryptedConnectionRequest --->|------------> [Responder.Receive]
//	    |                                   |               asks its user
//	    |<-- external Commit with the response ---- [IncomingRequest.Respond]
//	    | [OutgoingRequest.Accept]          |                       |
//
// Nobody but the responder learns who asks, and who declines sends nothing.
//
// A received request is an [IncomingRequest] only after all checks that need no
// person; the error of the first one that fails says which.
package connection
