//! The wire: protobuf messages, generated gRPC code and conversions.
