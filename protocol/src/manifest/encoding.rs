//! Canonical bytes of the manifest: the fields in the order in which they are declared. (P-MAN-1)

use super::{
    Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, RollCommitment, SUITE, ShardEntry, Style,
    TrusteeEntry,
    bounds::{CONTESTS_MAX, OFFICIALS_MAX, OPTIONS_MAX, SHARDS_MAX, STYLES_MAX, TEXT_BYTES_MAX, TRUSTEES_MAX},
};
use crate::encoding::{Canonical, DecodeError, Reader, Writer};
use alloc::{string::String, vec::Vec};

fn write_texts(out: &mut Writer, texts: &[String]) {
    out.len(texts.len());
    for text in texts {
        out.text(text);
    }
}

fn read_texts(input: &mut Reader<'_>, what: &'static str, max: usize) -> Result<Vec<String>, DecodeError> {
    let len = input.len(what, max)?;
    let mut texts = Vec::new();
    for _ in 0..len {
        texts.push(input.text(what, TEXT_BYTES_MAX)?);
    }
    Ok(texts)
}

impl Canonical for Manifest {
    fn write(&self, out: &mut Writer) {
        let Self {
            title,
            languages,
            contests,
            styles,
            roll,
            revote,
            opens_not_before,
            closes_not_before,
            trustees,
            quorums,
            shards,
            home,
            officials,
            lanes,
            chain,
            tally_min,
        } = self;
        out.text(SUITE).text(title);
        write_texts(out, languages);
        out.list(contests).list(styles).value(roll);
        out.u8(match revote {
            Revote::Last => 1,
            Revote::First => 2,
        });
        out.value(opens_not_before).value(closes_not_before);
        out.list(trustees).value(quorums).list(shards).value(home).list(officials);
        out.u16(*lanes).text(&chain.cluster).raw(&chain.genesis).u64(*tally_min);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if input.text("suite", TEXT_BYTES_MAX)? != SUITE {
            return Err(DecodeError::UnknownTag { what: "suite", got: 0 });
        }
        Ok(Self {
            title: input.text("title", TEXT_BYTES_MAX)?,
            languages: read_texts(input, "languages", 50)?,
            contests: input.list("contests", CONTESTS_MAX)?,
            styles: input.list("styles", STYLES_MAX)?,
            roll: input.value()?,
            revote: match input.u8()? {
                1 => Revote::Last,
                2 => Revote::First,
                got => return Err(DecodeError::UnknownTag { what: "revote", got: got.into() }),
            },
            opens_not_before: input.value()?,
            closes_not_before: input.value()?,
            trustees: input.list("trustees", TRUSTEES_MAX)?,
            quorums: input.value()?,
            shards: input.list("shards", SHARDS_MAX)?,
            home: input.value()?,
            officials: input.list("officials", OFFICIALS_MAX)?,
            lanes: input.u16()?,
            chain: Chain { cluster: input.text("cluster", TEXT_BYTES_MAX)?, genesis: input.array()? },
            tally_min: input.u64()?,
        })
    }
}

impl Canonical for Contest {
    fn write(&self, out: &mut Writer) {
        let Self { id, title, method, options, min, max, blank, seats, ties_by_lot } = self;
        out.text(id).text(title).u8(match method {
            Method::SingleChoice => 1,
            Method::Approval => 2,
        });
        write_texts(out, options);
        out.u16(*min).u16(*max).flag(*blank).u16(*seats).flag(*ties_by_lot);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: input.text("contest id", TEXT_BYTES_MAX)?,
            title: input.text("contest title", TEXT_BYTES_MAX)?,
            method: match input.u8()? {
                1 => Method::SingleChoice,
                2 => Method::Approval,
                got => return Err(DecodeError::UnknownTag { what: "method", got: got.into() }),
            },
            options: read_texts(input, "options", OPTIONS_MAX)?,
            min: input.u16()?,
            max: input.u16()?,
            blank: input.flag("blank")?,
            seats: input.u16()?,
            ties_by_lot: input.flag("ties by lot")?,
        })
    }
}

impl Canonical for Style {
    fn write(&self, out: &mut Writer) {
        out.text(&self.id).list(&self.contests);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { id: input.text("style id", TEXT_BYTES_MAX)?, contests: input.list("style contests", CONTESTS_MAX)? })
    }
}

impl Canonical for RollCommitment {
    fn write(&self, out: &mut Writer) {
        out.u64(self.voters).u64(self.weight_total).raw(&self.digest);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { voters: input.u64()?, weight_total: input.u64()?, digest: input.array()? })
    }
}

impl Canonical for Quorums {
    fn write(&self, out: &mut Writer) {
        let Self { f, c, t, s, q, w, one_aggregate_by_certificate } = *self;
        out.u16(f).u16(c).u16(t).u16(s).u16(q).u16(w).flag(one_aggregate_by_certificate);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            f: input.u16()?,
            c: input.u16()?,
            t: input.u16()?,
            s: input.u16()?,
            q: input.u16()?,
            w: input.u16()?,
            one_aggregate_by_certificate: input.flag("one aggregate")?,
        })
    }
}

impl Canonical for TrusteeEntry {
    fn write(&self, out: &mut Writer) {
        let Self { name, organisation, region, identity, tls_pin, address } = self;
        out.text(name).text(organisation).text(region).value(identity).raw(tls_pin).text(address);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: input.text("trustee name", TEXT_BYTES_MAX)?,
            organisation: input.text("organisation", TEXT_BYTES_MAX)?,
            region: input.text("region", TEXT_BYTES_MAX)?,
            identity: input.value()?,
            tls_pin: input.array()?,
            address: input.text("address", TEXT_BYTES_MAX)?,
        })
    }
}

impl Canonical for ShardEntry {
    fn write(&self, out: &mut Writer) {
        let Self { name, identity, tls_pin, address, public_address } = self;
        out.text(name).value(identity).raw(tls_pin).text(address).text(public_address);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: input.text("shard name", TEXT_BYTES_MAX)?,
            identity: input.value()?,
            tls_pin: input.array()?,
            address: input.text("address", TEXT_BYTES_MAX)?,
            public_address: input.text("public address", TEXT_BYTES_MAX)?,
        })
    }
}

impl Canonical for OfficialEntry {
    fn write(&self, out: &mut Writer) {
        out.text(&self.name).value(&self.identity).raw(&self.tls_pin);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: input.text("official name", TEXT_BYTES_MAX)?,
            identity: input.value()?,
            tls_pin: input.array()?,
        })
    }
}
