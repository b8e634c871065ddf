//! Only tests: whole elections of the shipping cores over the toy group, and the group's own laws.
