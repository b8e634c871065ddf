//! What an honest booth makes is accepted, and a booth is told what it may not make.

use super::*;

fn accepts(rule: ContestRule, chosen: &[u16]) {
    let form = form(rule);
    let bytes = ballot(&form, chosen, &credential(1), &mut seeded(2));
    assert_eq!(Some(bytes.len()), form.ballot_len(StyleIndex(0)));
    let checked = form.verify(&bytes).unwrap();
    assert_eq!(checked.bytes(), bytes);
    let votes: Vec<_> = checked.contests().collect();
    assert_eq!(votes.len(), 1);
    assert_eq!(votes[0].1.len(), usize::from(rule.options));
    // Decrypts to what was chosen.
    let secret = election_key(1).0;
    for (j, vote) in (0..).zip(votes[0].1) {
        let m = vote.b.raw() - secret * vote.a.raw();
        let expected = if chosen.contains(&j) { Point::generator().raw() } else { crate::group::identity() };
        assert_eq!(m, expected, "option {j} of {rule:?}");
    }
}

#[test]
fn every_single_choice_of_1_2_5_and_10_options_verifies() {
    for count in [1, 2, 5, 10] {
        for chosen in 0..count {
            accepts(ContestRule { options: count, min: 1, max: 1 }, &[chosen]);
        }
    }
}

#[test]
fn every_count_that_the_rule_allows_verifies() {
    for chosen in [&[][..], &[2], &[0, 3], &[3, 1, 0]] {
        accepts(ContestRule { options: 4, min: 0, max: 3 }, chosen);
    }
    accepts(ContestRule { options: 4, min: 2, max: 4 }, &[0, 1]);
    accepts(ContestRule { options: 4, min: 2, max: 4 }, &[3, 2, 1, 0]);
    accepts(ContestRule { options: 4, min: 4, max: 4 }, &[0, 1, 2, 3]);
    accepts(ContestRule { options: 1, min: 0, max: 1 }, &[]);
}

#[test]
fn the_largest_contest_verifies() {
    accepts(ContestRule { options: 256, min: 0, max: 256 }, &[0, 17, 255]);
}

#[test]
fn a_style_may_list_contests_in_any_order() {
    let rules = [FIVE, ContestRule { options: 3, min: 0, max: 2 }, ContestRule { options: 2, min: 1, max: 2 }];
    let form = form_of(&rules, &[&[2, 0, 1], &[1]]);
    let choices = [options(&[1]), options(&[4]), options(&[])];
    let bytes = form.seal(StyleIndex(0), &choices, &credential(1), &mut seeded(3)).unwrap();
    let checked = form.verify(&bytes).unwrap();
    let listed: Vec<_> = checked.contests().map(|(contest, votes)| (contest.0, votes.len())).collect();
    assert_eq!(listed, [(2, 2), (0, 5), (1, 3)]);
    assert_eq!(checked.first_components().len(), 3);
    let other = form.seal(StyleIndex(1), &[options(&[2, 0])], &credential(1), &mut seeded(3)).unwrap();
    assert_eq!(form.verify(&other).unwrap().style(), StyleIndex(1));
}

#[test]
fn five_options_one_choice_is_875_bytes_whatever_is_chosen() {
    let form = form(FIVE);
    for chosen in 0..5 {
        assert_eq!(ballot(&form, &[chosen], &credential(1), &mut seeded(1)).len(), 875);
    }
    let blank = super::form(ContestRule { options: 5, min: 0, max: 2 });
    let lengths = [&[][..], &[1], &[1, 4]].map(|chosen| ballot(&blank, chosen, &credential(1), &mut seeded(1)).len());
    assert_eq!(lengths, [lengths[0]; 3]);
}

#[test]
fn the_id_is_what_the_credential_signed_and_the_text_is_readable() {
    let form = form(FIVE);
    let key = credential(1);
    let public = Credential(key.verifying_key().to_bytes());
    let unsigned = form.seal_unsigned(StyleIndex(0), &[options(&[1])], public, &mut seeded(4)).unwrap();
    let (text, id) = (unsigned.text(), unsigned.digest());
    let expected = alloc::format!("Conclave ballot\nelection: {}\nballot: {}\n", "07".repeat(32), hex::encode(id));
    assert_eq!(text, expected);
    let bytes = unsigned.signed(&key.sign(text.as_bytes()).to_bytes());
    let checked = form.verify(&bytes).unwrap();
    assert_eq!((checked.digest(), checked.credential()), (id, public));
    assert_eq!(bytes, ballot(&form, &[1], &key, &mut seeded(4)), "both ways make the same ballot");
}

#[test]
fn a_choice_outside_the_rule_is_refused_by_name() {
    let form = form(ContestRule { options: 4, min: 1, max: 2 });
    let seal =
        |chosen: &[u16]| form.seal(StyleIndex(0), &[options(chosen)], &credential(1), &mut seeded(1)).unwrap_err();
    let contest = ContestIndex(0);
    assert_eq!(seal(&[0, 1, 2]), SealError::TooMany { contest, max: 2, got: 3 });
    assert_eq!(seal(&[]), SealError::TooFew { contest, min: 1, got: 0 });
    assert_eq!(seal(&[1, 1]), SealError::Repeated { contest, option: OptionIndex(1) });
    assert_eq!(seal(&[4]), SealError::UnknownOption { contest, option: OptionIndex(4), last: OptionIndex(3) });
    assert_eq!(
        seal(&[u16::MAX]),
        SealError::UnknownOption { contest, option: OptionIndex(u16::MAX), last: OptionIndex(3) }
    );
    let error = form.seal(StyleIndex(1), &[options(&[0])], &credential(1), &mut seeded(1)).unwrap_err();
    assert_eq!(error, SealError::UnknownStyle { got: StyleIndex(1), last: StyleIndex(0) });
    let error = form.seal(StyleIndex(0), &[], &credential(1), &mut seeded(1)).unwrap_err();
    assert_eq!(error, SealError::Contests { expected: 1, got: 0 });
}

#[test]
fn a_form_that_does_not_hold_together_is_refused_by_name() {
    let make = |rules: &[ContestRule], styles: &[&[u16]]| {
        let styles = styles.iter().map(|style| style.iter().copied().map(ContestIndex).collect()).collect();
        BallotForm::new(ElectionId([7; 32]), Point::generator(), rules.to_vec(), styles).unwrap_err()
    };
    let contest = ContestIndex(0);
    let rule = |options, min, max| make(&[ContestRule { options, min, max }], &[&[0]]);
    assert_eq!(rule(0, 0, 1), FormError::Rule { contest, rule: RuleError::Options { got: 0 } });
    assert_eq!(rule(257, 0, 1), FormError::Rule { contest, rule: RuleError::Options { got: 257 } });
    assert_eq!(rule(3, 0, 0), FormError::Rule { contest, rule: RuleError::Max { options: 3, got: 0 } });
    assert_eq!(rule(3, 0, 4), FormError::Rule { contest, rule: RuleError::Max { options: 3, got: 4 } });
    assert_eq!(rule(3, 2, 1), FormError::Rule { contest, rule: RuleError::Min { max: 1, got: 2 } });
    let style = StyleIndex(0);
    assert_eq!(make(&[], &[&[0]]), FormError::Count { what: "contests", got: 0, max: CONTESTS_MAX });
    assert_eq!(make(&[FIVE], &[]), FormError::Count { what: "ballot styles", got: 0, max: STYLES_MAX });
    assert_eq!(make(&[FIVE], &[&[]]), FormError::EmptyStyle { style });
    assert_eq!(make(&[FIVE], &[&[1]]), FormError::UnknownContest { style, contest: ContestIndex(1), last: 0 });
    assert_eq!(make(&[FIVE], &[&[0, 0]]), FormError::RepeatedContest { style, contest });
    let wide = [ContestRule { options: 256, min: 0, max: 256 }; 10];
    let error = make(&wide, &[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]);
    assert!(matches!(error, FormError::BallotTooLong { got, .. } if got > BALLOT_BYTES_MAX), "{error}");
}

#[test]
fn a_rule_decodes_only_if_it_holds_together() {
    let rule = ContestRule { options: 5, min: 0, max: 3 };
    assert_eq!(ContestRule::from_bytes(&rule.to_bytes()), Ok(rule));
    assert!(ContestRule::from_bytes(&ContestRule { options: 5, min: 4, max: 3 }.to_bytes()).is_err());
}
