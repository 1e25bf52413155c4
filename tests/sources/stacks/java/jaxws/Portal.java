import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebService;
import jakarta.xml.bind.annotation.XmlAccessType;
import jakarta.xml.bind.annotation.XmlAccessorType;

/** A portal as JAX-WS describes it by itself: other names, fields without a namespace, the zone
 * first, and the counts in a "return" element. */
@WebService(name = "Portal", targetNamespace = "urn:portal")
public interface Portal {
    @WebMethod(operationName = "QueryResources", action = "urn:QueryResources")
    Counts queryResources(
        @WebParam(name = "zoneName") String zone, @WebParam(name = "unused") int unused);

    @WebMethod(operationName = "LaunchVXML", action = "urn:LaunchVXML")
    Launched launchVXML(
        @WebParam(name = "toURI") String to,
        @WebParam(name = "fromURI") String from,
        @WebParam(name = "applicationName") String application,
        @WebParam(name = "applicationURL") String url,
        @WebParam(name = "parameters") String parameters,
        @WebParam(name = "uuiInfo") String uui,
        @WebParam(name = "connectTimeoutSecs") int timeoutS);

    /** Ports. */
    @XmlAccessorType(XmlAccessType.FIELD)
    class Counts {
        public int totalRes_returned;
        public int unusedSIP_returned;
        public int unusedH323_returned;
    }

    /** The session. */
    @XmlAccessorType(XmlAccessType.FIELD)
    class Launched extends Counts {
        public String sessionID_returned;
    }
}
