// Style sheets and icons have no meaning in unit tests.
export default '';
